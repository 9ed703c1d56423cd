//! The record of the founding against a double of the Kubernetes API server.

use steeple_plugins::founding_record::{FoundingConfigMap, OnRecord};
use steeple_testkit::{KubernetesApiDouble, Trouble};

const NAME: (&str, &str) = ("steeple", "steeple-founding");

#[tokio::test]
async fn of_those_who_claim_the_founding_one_has_it_for_good() {
    let api = KubernetesApiDouble::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = api.write_kubeconfig(dir.path()).unwrap();
    let record = || FoundingConfigMap::new(NAME.0.to_owned(), NAME.1.to_owned(), Some(kubeconfig.clone()));
    // Each a process of its own, at one time.
    let claims = (0..5).map(|number| {
        let record = record();
        async move { record.claim(&format!("server-{number}"), &format!("claim-{number}")).await.unwrap() }
    });
    let answers = futures::future::join_all(claims).await;
    let winners: Vec<usize> = (0..5).filter(|number| answers[*number] == OnRecord::Ours).collect();
    let [winner] = winners[..] else { panic!("{answers:?}") };
    let another = OnRecord::Another { founder: format!("server-{winner}") };
    assert_eq!(answers.iter().filter(|answer| **answer == another).count(), 4, "{answers:?}");

    // A restart in the middle of the founding repeats its claim; the same name on another disk has another one.
    let name = format!("server-{winner}");
    assert_eq!(record().claim(&name, &format!("claim-{winner}")).await, Ok(OnRecord::Ours));
    assert_eq!(record().claim(&name, "claim-of-an-empty-disk").await, Ok(another));
    assert_eq!(api.config_map(NAME.0, NAME.1, "founder"), Some(name));
}

#[tokio::test]
async fn whoever_cannot_ask_does_not_know() {
    let api = KubernetesApiDouble::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = api.write_kubeconfig(dir.path()).unwrap();
    let record = FoundingConfigMap::new(NAME.0.to_owned(), NAME.1.to_owned(), Some(kubeconfig));
    for (trouble, part) in [(Trouble::Forbids, "configmaps is forbidden"), (Trouble::Fails, "request timed out")] {
        api.set_trouble(trouble);
        let said = record.claim("server-0", "claim").await.unwrap_err().to_string();
        let start = "the founding record, ConfigMap steeple/steeple-founding, cannot be asked: ";
        assert!(said.starts_with(start) && said.contains(part), "{said}");
    }
    api.set_trouble(Trouble::None);
    assert_eq!(record.claim("server-0", "claim").await, Ok(OnRecord::Ours));

    // One without a claim, as somebody's hand may have made it, is nobody's to found over.
    api.delete_config_map(NAME.0, NAME.1);
    api.put_config_map(NAME.0, NAME.1, ("note", "restored"), "kubectl");
    assert_eq!(record.claim("server-0", "claim").await, Ok(OnRecord::Another { founder: String::new() }));
}
