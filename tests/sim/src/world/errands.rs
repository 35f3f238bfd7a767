//! What an agent carries out by itself once its node says so: `haad.toml` is read, settings are written. Never decides
//! whether.

use haa_core::effect::{StoreWish, Txn};
use haa_core::records::{
    Altered, Ask as Asked, Kept, Key, Record, RequestId, RequestRecord, RequestState,
};
use haa_core::settings::Settings;
use haa_core::units::{Revision, TxnId};

use crate::time::At;
use crate::world::{ForAgent, World};

/// Nothing was heard of it for so long: once more.
const AGAIN: At = At::secs(5);

impl World {
    /// Begins with what the status names, unless that is under way.
    pub(crate) fn run_errand(&mut self, member: usize, id: Option<&RequestId>) {
        let Some(id) = id else {
            self.members[member].agent.errand = None;
            return;
        };
        let now = self.now;
        let under_way = |(other, until): &(RequestId, At)| other == id && now < *until;
        if self.members[member].agent.errand.as_ref().is_some_and(under_way) {
            return;
        }
        self.members[member].agent.errand = Some((id.clone(), now.after(AGAIN)));
        let span = self.takes(500, 1_500);
        self.tell_agent(span, member, ForAgent::Errand(id.clone()));
    }

    /// It is done, and told in the same breath if nobody was faster.
    pub(crate) fn errand_done(&mut self, member: usize, id: &RequestId) {
        let status = self.members[member].agent.status.as_ref();
        let request = status.and_then(|status| status.requests.get(id));
        let accepted =
            |request: &&RequestRecord| matches!(request.state, RequestState::Accepted { .. });
        let Some(request) = request.filter(accepted).cloned() else { return };
        let of = self.etcd.view.requests.get(id).map_or(Revision::ABSENT, |kept| kept.revision);
        let mut compare = vec![(Key::Request(id.clone()), of)];
        let name = self.members[member].name.clone();
        let mut put = Vec::new();
        let mut what = format!("{name} has read haad.toml again");
        if let (Asked::Settings { changes }, Some(kept)) = (&request.ask, &self.etcd.view.settings)
        {
            let Kept { value, revision, .. } = kept;
            compare.push((Key::Settings, *revision));
            put.push((Record::Settings(changed(value, changes)), None));
            what = format!("written by {name}");
        }
        let ended = RequestRecord { state: RequestState::Done { what }, ..request };
        put.push((Record::Request(id.clone(), ended), None));
        let txn = Txn { id: TxnId(0), compare, put, delete: vec![] };
        // Its answer tells nobody anything: the watch does.
        self.wish_untracked(member, StoreWish::Txn(txn));
    }
}

/// Of all that there is, stories change `k`.
fn changed(settings: &Settings, changes: &[Altered]) -> Settings {
    let k = changes.iter().rfind(|change| change.key == "k");
    let k = k.map_or(settings.k, |change| change.to.as_ref().and_then(|to| to.parse().ok()));
    Settings { k, ..settings.clone() }
}
