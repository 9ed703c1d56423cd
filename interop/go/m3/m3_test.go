// Package m3 reads what the server sends to an M3 receiver with the thrift types of tally, whose reporter SPIRE uses.
package m3

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	m3thrift "github.com/uber-go/tally/v4/m3/thrift/v2"
	"github.com/uber-go/tally/v4/thirdparty/github.com/apache/thrift/lib/go/thrift"

	"github.com/steeple-id/steeple/interop/go/fixture"
)

// The server sends every second; this is for a busy machine.
const patience = 60 * time.Second

var (
	environment fixture.Environment
	// More than a server sends until the test looks.
	packets = make(chan []byte, 4096)
)

func TestMain(m *testing.M) {
	receiver, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go receive(receiver)
	os.Setenv("STEEPLE_FIXTURE_TOP", `telemetry { M3 { address = "`+receiver.LocalAddr().String()+`" env = "test" } }`)
	fixture.Main(m, &environment, fixture.Entry{Path: "/known"})
}

// receive keeps what comes while the server starts: the kernel would not keep all of it.
func receive(receiver net.PacketConn) {
	for {
		packet := make([]byte, 65536)
		length, _, err := receiver.ReadFrom(packet)
		if err != nil {
			panic(err)
		}
		packets <- packet[:length]
	}
}

// batches is the service that thrift's processor calls.
type batches struct{ received []m3thrift.MetricBatch }

func (b *batches) EmitMetricBatchV2(batch m3thrift.MetricBatch) error {
	b.received = append(b.received, batch)
	return nil
}

func tags(tags []m3thrift.MetricTag) map[string]string {
	values := make(map[string]string, len(tags))
	for _, tag := range tags {
		values[tag.Name] = tag.Value
	}
	return values
}

func TestATallyReceiverReadsEverything(t *testing.T) {
	wanted := map[string]func(m3thrift.Metric) bool{
		"a counter with SPIRE's labels": func(metric m3thrift.Metric) bool {
			return metric.Name == "rpc_agent_v1_agent_attest_agent" && metric.Value.Count == 1 &&
				metric.Value.MetricType == m3thrift.MetricType_COUNTER && tags(metric.Tags)["status"] == "OK"
		},
		"a call's time in tally's buckets": func(metric m3thrift.Metric) bool {
			bucket, id := tags(metric.Tags)["bucket"], tags(metric.Tags)["bucketid"]
			return metric.Name == "rpc_agent_v1_agent_attest_agent_elapsed_time" && metric.Value.Count == 1 &&
				metric.Value.MetricType == m3thrift.MetricType_COUNTER && len(id) == 4 && strings.Contains(bucket, "-")
		},
		"a gauge": func(metric m3thrift.Metric) bool {
			return metric.Name == "uptime_in_ms" && metric.Value.Gauge > 0 &&
				metric.Value.MetricType == m3thrift.MetricType_GAUGE
		},
		"a gauge of ours": func(metric m3thrift.Metric) bool {
			return metric.Name == "steeple_raft_is_leader" && metric.Value.Gauge == 1
		},
	}
	deadline := time.After(patience)
	for len(wanted) > 0 {
		var packet []byte
		select {
		case packet = <-packets:
		case <-deadline:
			require.Failf(t, "not all was sent", "missing: %v", wanted)
		}
		require.LessOrEqual(t, len(packet), 1400, "a packet that is not cut on its way")

		transport := thrift.NewTMemoryBufferLen(len(packet))
		_, err := transport.Write(packet)
		require.NoError(t, err)
		protocol := thrift.NewTCompactProtocol(transport)
		var service batches
		_, err = m3thrift.NewM3Processor(&service).Process(protocol, protocol)
		require.NoError(t, err)
		require.Zero(t, transport.Len(), "nothing is left over")
		require.Len(t, service.received, 1)
		batch := service.received[0]
		require.Equal(t, map[string]string{"service": "spire_server", "env": "test"}, tags(batch.CommonTags))
		for _, metric := range batch.Metrics {
			require.WithinDuration(t, time.Now(), time.Unix(0, metric.Timestamp), 10*patience)
			for name, is := range wanted {
				if is(metric) {
					delete(wanted, name)
				}
			}
		}
	}
}
