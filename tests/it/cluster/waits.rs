//! What is asked again until it is so: an agent's view is late by a look and a beat, and of others by more.

use std::time::{Duration, Instant};

use haa_core::settings::Settings;
use haa_core::units::MemberName;

use super::fixture::{Cluster, LONG};

impl Cluster {
    /// Waits until a path of a member is answered so.
    pub(crate) async fn until_answered(
        &self,
        member: &MemberName,
        path: &str,
        wanted: (u16, &str),
    ) {
        let began = Instant::now();
        loop {
            let answer = self.playground.http_get(member, path).await;
            let right = |(code, text): &(u16, String)| *code == wanted.0 && text.trim() == wanted.1;
            let code_alone = |(code, _): &(u16, String)| wanted.1 == "*" && *code == wanted.0;
            if answer.as_ref().is_ok_and(|answer| right(answer) || code_alone(answer)) {
                return;
            }
            assert!(began.elapsed() < LONG, "{member}{path}: {answer:?} instead of {wanted:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a member's view of the cluster holds this.
    pub(crate) async fn until_said(&self, member: &MemberName, text: &str) {
        let began = Instant::now();
        loop {
            let answer = self.playground.http_get(member, "/cluster").await;
            if answer.as_ref().is_ok_and(|(_, said)| said.contains(text)) {
                return;
            }
            assert!(began.elapsed() < LONG, "{member} never says {text}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until haactl ends and says as wanted.
    pub(crate) async fn until_haactl(
        &self,
        arguments: &[&str],
        wanted: impl Fn(i32, &str) -> bool,
    ) {
        let began = Instant::now();
        loop {
            let (code, said) = self.haactl(arguments);
            if wanted(code, &said) {
                return;
            }
            assert!(began.elapsed() < LONG, "haactl {arguments:?} ends with {code}: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// haactl has changed the settings, and this came of it: waits until every member goes by them. It does so itself,
    /// but for 5 s only.
    pub(crate) async fn all_go_by(&self, (code, said): (i32, String)) {
        assert!(code == 0 || said.contains("written; "), "{code}: {said}");
        let endpoint = self.playground.etcd_endpoint();
        let mut etcd = etcd_client::Client::connect([endpoint], None).await.expect("etcd answers");
        let answer = etcd.get("/haa/playground/settings", None).await.expect("etcd answers");
        let kept = answer.kvs().first().expect("there are settings").value();
        let kept: Settings = serde_json::from_slice(kept).expect("they can be read");
        let began = Instant::now();
        for member in self.playground.names() {
            loop {
                let answer = self.playground.http_get(&member, "/config").await;
                let own: Option<Settings> =
                    answer.ok().and_then(|(_, text)| serde_json::from_str(&text).ok());
                if own.as_ref() == Some(&kept) {
                    break;
                }
                assert!(began.elapsed() < LONG, "{member} does not go by them: {own:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
