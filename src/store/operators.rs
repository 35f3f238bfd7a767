//! What operators ask for and look up: written once, by comparison, and read linearizably. Never part of a decision.

use etcd_client::{GetOptions, KeyValue, SortOrder, SortTarget, Txn, TxnOp};
use haa_core::records::{Ask, Key, Record, RequestId, RequestRecord, RequestState};
use haa_core::settings::Settings;
use haa_core::units::{Revision, Term};

use super::error::chain;
use super::history::{Chapter, chapters};
use super::keys;
use super::{AttemptError, PATIENCE, Sent, Store, StoreError, silent, txn};

/// So many events are kept, the newest.
const EVENTS: usize = 1_000;
/// And of commands that were refused by whoever was asked, so many: they make no others go.
const REFUSALS: usize = 200;
/// The names of those.
const REFUSED: &str = "refused-";

/// What is told that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something happened.
    ByItself,
    /// Somebody asked, and was refused at once.
    Refusal,
}

/// By what a transaction is known to have been done, where nobody has said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trace {
    /// Its first key is there: nobody else draws such a name, and whoever acts on it writes it anew.
    Key,
    /// Its first key has the value that was sent.
    Value,
}

impl Store {
    /// All leaderships that are on record, oldest first, with what was discarded for each. A record that cannot be read
    /// is skipped.
    ///
    /// # Errors
    /// When no endpoint answers.
    pub async fn history(&self) -> Result<Vec<(Term, Chapter)>, StoreError> {
        let reader = &self.shared.reader;
        let found = self.folder("for the history", self.shared.keys.history()).await?;
        let (mut history, mut discarded) = (Vec::new(), Vec::new());
        for kv in &found {
            match reader.key(kv) {
                Some(key @ Key::History(term)) => {
                    history.extend(reader.value(&key, kv).map(|record| (term, record)));
                }
                Some(key @ Key::Discarded(..)) => discarded.extend(reader.value(&key, kv)),
                Some(_) | None => {}
            }
        }
        history.sort_by_key(|(term, _)| *term);
        Ok(chapters(history, discarded))
    }

    /// What operators asked for and came to its end, oldest first. A record that cannot be read is skipped.
    ///
    /// # Errors
    /// When no endpoint answers.
    pub async fn events(&self) -> Result<Vec<(RequestId, RequestRecord)>, StoreError> {
        let reader = &self.shared.reader;
        let found = self.folder("for the events", self.shared.keys.events()).await?;
        let read = |kv| {
            let Key::Event(id) = reader.key(kv)? else { return None };
            Some((id.clone(), reader.value(&Key::Event(id), kv)?))
        };
        let mut events: Vec<(RequestId, RequestRecord)> = found.iter().filter_map(read).collect();
        events.sort_by_key(|(_, event)| event.asked_unix_ms);
        Ok(events)
    }

    async fn folder(
        &self,
        what: &'static str,
        (first, end): (String, String),
    ) -> Result<Vec<KeyValue>, StoreError> {
        let all = GetOptions::new().with_range(end);
        self.found(first, all).await.map_err(|error| silent(what, error))
    }

    async fn found(
        &self,
        path: String,
        options: GetOptions,
    ) -> Result<Vec<KeyValue>, AttemptError> {
        let asked = self.shared.clients.any(PATIENCE, |client| {
            let (path, options) = (path.clone(), options.clone());
            async move { client.kv_client().get(path, Some(options)).await }
        });
        asked.await.map(|answer| answer.value.kvs().to_vec()).map_err(|miss| miss.error)
    }

    /// Writes down what an operator asks for, unless a request of this name is there.
    ///
    /// # Errors
    /// When it is there already, when no endpoint answers, or when nobody can say whether it was written.
    pub async fn ask(&self, id: RequestId, record: RequestRecord) -> Result<(), StoreError> {
        let key = Key::Request(id.clone());
        let absent = [(key.clone(), Revision::ABSENT)];
        let written = self.write(Trace::Key, &absent, &[Record::Request(id, record)]).await?;
        self.forget_events().await;
        if written { Ok(()) } else { Err(StoreError::AlreadyThere { key }) }
    }

    /// Writes down what is to be done in time, all of it or nothing.
    ///
    /// # Errors
    /// When the first is there already, when no endpoint answers, or when nobody can say whether it was written.
    pub async fn plan(&self, plan: Vec<(RequestId, RequestRecord)>) -> Result<(), StoreError> {
        let records = plan.into_iter().map(|(id, record)| Record::Request(id, record));
        let records: Vec<Record> = records.collect();
        let Some(key) = records.first().map(Record::key) else { return Ok(()) };
        let absent = [(key.clone(), Revision::ABSENT)];
        let written = self.write(Trace::Key, &absent, &records).await?;
        if written { Ok(()) } else { Err(StoreError::AlreadyThere { key }) }
    }

    /// Writes down an event that nobody asked for.
    ///
    /// # Errors
    /// When no endpoint answers, or when nobody can say whether it was written.
    pub async fn tell(&self, kind: Told, event: RequestRecord) -> Result<(), StoreError> {
        let drawn = rand::random::<u128>();
        let id = match kind {
            Told::ByItself => format!("{drawn:032x}"),
            Told::Refusal => format!("{REFUSED}{drawn:032x}"),
        };
        let absent = [(Key::Event(id.clone()), Revision::ABSENT)];
        self.write(Trace::Value, &absent, &[Record::Event(id, event)]).await?;
        self.forget_events().await;
        Ok(())
    }

    /// Takes back a request that nobody has acted on, with the event that tells of it. Whether it did.
    ///
    /// # Errors
    /// When no endpoint answers, or when nobody can say whether it was taken back.
    pub async fn withdraw(&self, id: RequestId, why: String) -> Result<bool, StoreError> {
        let Some((since, request)) = self.request(&id).await? else { return Ok(false) };
        match request.state {
            RequestState::Scheduled | RequestState::Pending => {}
            RequestState::Accepted { .. }
            | RequestState::Done { .. }
            | RequestState::Refused { .. } => return Ok(false),
        }
        let ended = RequestRecord { state: RequestState::Refused { why }, ..request };
        let key = Key::Request(id.clone());
        let records = [Record::Request(id.clone(), ended.clone()), Record::Event(id, ended)];
        self.write(Trace::Value, &[(key, since)], &records).await
    }

    /// The same for a request of which nobody knows whether it was written. If it was not, it is ended under its name
    /// before it comes: a transaction that is late finds that taken.
    ///
    /// # Errors
    /// As there.
    pub async fn forestall(
        &self,
        id: RequestId,
        request: RequestRecord,
        why: String,
    ) -> Result<bool, StoreError> {
        let state = RequestState::Refused { why: why.clone() };
        let ended = RequestRecord { state, ..request };
        let keys = [Key::Event(id.clone()), Key::Request(id.clone())];
        let absent = keys.map(|key| (key, Revision::ABSENT));
        let event = Record::Event(id.clone(), ended.clone());
        let records = [event, Record::Request(id.clone(), ended)];
        if self.write(Trace::Value, &absent, &records).await? {
            return Ok(true);
        }
        self.withdraw(id, why).await
    }

    /// Tells what came of a request that an agent was to carry out, and writes the settings that it was about, unless
    /// they were changed since. Whether it did; not if it has come to its end.
    ///
    /// # Errors
    /// When no endpoint answers, or when nobody can say whether it was written.
    pub async fn conclude(
        &self,
        id: &RequestId,
        (ask, state): (Ask, RequestState),
        settings: Option<(Revision, Settings)>,
    ) -> Result<bool, StoreError> {
        let Some((since, request)) = self.request(id).await? else { return Ok(false) };
        if !matches!(request.state, RequestState::Accepted { .. }) {
            return Ok(false);
        }
        let ended = RequestRecord { ask, state, ..request };
        let mut unchanged = vec![(Key::Request(id.clone()), since)];
        let mut records =
            vec![Record::Request(id.clone(), ended.clone()), Record::Event(id.clone(), ended)];
        if let Some((since, settings)) = settings {
            unchanged.push((Key::Settings, since));
            records.push(Record::Settings(settings));
        }
        self.write(Trace::Value, &unchanged, &records).await
    }

    /// A request as it stands, and since when.
    async fn request(
        &self,
        id: &RequestId,
    ) -> Result<Option<(Revision, RequestRecord)>, StoreError> {
        let key = Key::Request(id.clone());
        let found = self.found(self.shared.keys.path(&key), GetOptions::new()).await;
        let found = found.map_err(|error| silent("for a request", error))?;
        let read = |kv: &KeyValue| {
            Some((Revision(kv.mod_revision()), self.shared.reader.value(&key, kv)?))
        };
        Ok(found.first().and_then(read))
    }

    /// Writes other settings, with the event that tells of it, unless they were changed since. Whether it did.
    ///
    /// # Errors
    /// When no endpoint answers, or when nobody can say whether they were written.
    pub async fn change(
        &self,
        since: Revision,
        settings: Settings,
        (id, event): (RequestId, RequestRecord),
    ) -> Result<bool, StoreError> {
        let records = [Record::Event(id, event), Record::Settings(settings)];
        let unchanged = [(Key::Settings, since)];
        let written = self.write(Trace::Value, &unchanged, &records).await?;
        self.forget_events().await;
        Ok(written)
    }

    /// The first record is one that nobody else writes: where the outcome is unknown, it tells.
    async fn write(
        &self,
        trace: Trace,
        unchanged: &[(Key, Revision)],
        records: &[Record],
    ) -> Result<bool, StoreError> {
        // Encoded once: what is looked back for is what was sent, with the time at which it was.
        let puts: Vec<(Key, Vec<u8>)> =
            records.iter().map(|record| (record.key(), keys::encode(record))).collect();
        match txn::write(&self.shared, unchanged, &puts, PATIENCE).await {
            Ok(written) => Ok(written),
            Err(error) if error.sent() == Sent::No => Err(silent("to take a request", error)),
            Err(source) => {
                let (key, json) = &puts[0];
                let ours = |kv: &KeyValue| trace == Trace::Key || kv.value() == json;
                if txn::is_seen(&self.shared, key, ours, PATIENCE).await {
                    return Ok(true);
                }
                Err(StoreError::Unknown { key: key.clone(), patience: PATIENCE, source })
            }
        }
    }

    /// The oldest events make room. If that fails, the next command does it.
    async fn forget_events(&self) {
        let (first, end) = self.shared.keys.events();
        let oldest = GetOptions::new()
            .with_range(end)
            .with_keys_only()
            .with_sort(SortTarget::Create, SortOrder::Ascend);
        let listed = match self.found(first, oldest).await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::debug!(error = chain(&error), "old events were not looked for");
                return;
            }
        };
        let refused = |kv: &&KeyValue| {
            let name = kv.key().rsplit(|byte| *byte == b'/').next();
            name.is_some_and(|name| name.starts_with(REFUSED.as_bytes()))
        };
        let (refusals, others): (Vec<&KeyValue>, Vec<&KeyValue>) = listed.iter().partition(refused);
        let old = [(refusals, REFUSALS), (others, EVENTS)].into_iter().flat_map(|(all, most)| {
            let too_many = all.len().saturating_sub(most);
            all.into_iter().take(too_many)
        });
        let deletes: Vec<TxnOp> = old.map(|kv| TxnOp::delete(kv.key(), None)).collect();
        if !deletes.is_empty()
            && let Err(miss) = txn::send(&self.shared, Txn::new().and_then(deletes)).await
        {
            tracing::debug!(error = chain(&miss.error), "old events were not taken out");
        }
    }
}
