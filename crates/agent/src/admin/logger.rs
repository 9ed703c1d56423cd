//! `spire.api.agent.logger.v1.Logger`.

use steeple_api::agent::logger::logger_server::Logger as LoggerApi;
use steeple_api::agent::logger::{GetLoggerRequest, ResetLogLevelRequest, SetLogLevelRequest};
use steeple_api::types;
use steeple_telemetry::log::{Level, Levels};
use tonic::{Request, Response, Status};

pub struct LoggerService {
    pub levels: Levels,
}

#[tonic::async_trait]
impl LoggerApi for LoggerService {
    async fn get_logger(&self, _request: Request<GetLoggerRequest>) -> Result<Response<types::Logger>, Status> {
        Ok(Response::new(self.answer()))
    }

    async fn set_log_level(&self, request: Request<SetLogLevelRequest>) -> Result<Response<types::Logger>, Status> {
        let wanted = request.into_inner().new_level;
        if wanted == types::LogLevel::Unspecified as i32 {
            return Err(Status::invalid_argument("newLevel value cannot be LogLevel_UNSPECIFIED"));
        }
        let level = Level::from_number(wanted);
        let level = level.ok_or_else(|| Status::invalid_argument("unsupported log level"))?;
        self.levels.set(level);
        Ok(Response::new(self.answer()))
    }

    async fn reset_log_level(
        &self,
        _request: Request<ResetLogLevelRequest>,
    ) -> Result<Response<types::Logger>, Status> {
        self.levels.reset();
        Ok(Response::new(self.answer()))
    }
}

impl LoggerService {
    fn answer(&self) -> types::Logger {
        types::Logger { current_level: self.levels.current().number(), launch_level: self.levels.launch().number() }
    }
}
