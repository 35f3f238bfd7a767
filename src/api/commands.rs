//! Commands: who may, and what is asked. The cluster decides; `carry` writes down and waits.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use haa_core::records::{Ask, Loss, Manner, RequestId};
use haa_core::routes::Status;
use haa_core::units::MemberName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::carry::{Wait, begun, carry_out};
use super::refusals::Unheard;
use super::schedule::{Step, plan, rolling};
use super::tokens::{Bearer, Denied, Role};
use super::{Api, Complaint, json, text};

/// The largest command.
const BODY_LIMIT: usize = 16 * 1024;
/// A command has arrived by then.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

/// `POST /switchover`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Switchover {
    leader: Option<String>,
    candidate: Option<String>,
    scheduled_at: Option<String>,
}

/// `POST /failover`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Failover {
    candidate: Option<String>,
    accept_loss: bool,
}

/// `POST /drain`, `POST /remove` and the like: about one member.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct About {
    member: Option<String>,
    scheduled_at: Option<String>,
}

/// `POST /restart`: this member's if none is named. At a time also everybody's, one after the other.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Restart {
    member: Option<String>,
    manner: Manner,
    everybody: bool,
    #[serde(alias = "scheduled_at")]
    schedule: Option<String>,
}

/// `POST /reinitialize`: this member if none is named. A clone ends what was under way, and unless somebody is named
/// comes from the leader or who is set apart for it, whatever `force` and `from_leader` say: today's tools send them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Reinitialize {
    member: Option<String>,
    from: Option<String>,
    #[serde(rename = "force")]
    _force: bool,
    #[serde(rename = "from_leader")]
    _from_leader: bool,
    scheduled_at: Option<String>,
}

/// What takes longer than a connection lives has begun, or waits for its time.
#[derive(Serialize)]
pub(super) struct Begun {
    pub(super) message: String,
    pub(super) request: RequestId,
}

/// Why a command was not carried out.
pub(super) struct Refusal {
    pub(super) code: StatusCode,
    pub(super) says: String,
    taken: Taken,
}

/// What a refusal says, beside its code, of whether it will be carried out all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// Nothing.
    Unsaid,
    /// Certainly not: nothing was written, and another member may be asked.
    No,
}

impl Refusal {
    pub(super) const fn new(code: StatusCode, says: String) -> Self {
        Self { code, says, taken: Taken::Unsaid }
    }

    /// This member cannot take it, and has written nothing: another may.
    pub(super) const fn untaken(says: String) -> Self {
        Self { code: StatusCode::SERVICE_UNAVAILABLE, says, taken: Taken::No }
    }

    /// Of whoever was asked: nobody else knows of it yet.
    pub(super) fn response(self) -> Response {
        let why = Unheard(self.says.clone());
        let mut response = self.on_record();
        response.extensions_mut().insert(why);
        response
    }

    /// Of the cluster, which has it among the events.
    pub(super) fn on_record(self) -> Response {
        let Self { code, says: error, taken } = self;
        let taken = match taken {
            Taken::Unsaid => None,
            Taken::No => Some(false),
        };
        let mut response = json(code, &Complaint { error, taken });
        if code == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// Hand the leadership over in order.
pub(super) async fn switchover(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let done = async {
        let who = who(&api, &request, Role::Operator)?;
        let asked: Switchover = body(request).await?;
        let status = current(&api)?;
        let to = known_member(&status, "candidate", asked.candidate)?;
        let leads = status.leader.as_ref().map(|(name, _)| name);
        let leader = known_member(&status, "leader", asked.leader)?;
        if let Some(leader) = leader.as_ref().filter(|leader| leads != Some(*leader)) {
            let now = leads.map_or("nobody", MemberName::as_str);
            let says = format!("{leader} does not lead: {now} does; look and ask again");
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, says));
        }
        // Whoever names nobody means: away from the one that leads now.
        let from = leader.or_else(|| leads.filter(|_| to.is_none()).cloned());
        if let Some(to) = to.as_ref().filter(|to| from.as_ref() == Some(*to)) {
            let says =
                format!("candidate: {to} leads, and is to hand over; name another, or nobody");
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, says));
        }
        let step = Step { ask: Ask::Switchover { to }, from };
        carry_or_plan(&api, step, &who, asked.scheduled_at).await
    };
    done.await.unwrap_or_else(Refusal::response)
}

/// At once, or at that time.
async fn carry_or_plan(
    api: &Arc<Api>,
    step: Step,
    who: &Who,
    at: Option<String>,
) -> Result<Response, Refusal> {
    match at {
        Some(at) => plan(api, &at, &who.by, vec![step]).await,
        None => carry_out(api, step.ask, who).await,
    }
}

/// Make a member lead though nobody does.
pub(super) async fn failover(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let done = async {
        let who = who(&api, &request, Role::Viewer)?;
        let asked: Failover = body(request).await?;
        who.may(if asked.accept_loss { Role::Admin } else { Role::Operator })?;
        let status = current(&api)?;
        let to = known_member(&status, "candidate", asked.candidate)?;
        if let Some(says) = to.as_ref().and_then(|to| status.bars_failover(to)) {
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, says));
        }
        let loss = if asked.accept_loss { Loss::Accepted } else { Loss::Allowed };
        carry_out(&api, Ask::Failover { to, loss }, &who).await
    };
    done.await.unwrap_or_else(Refusal::response)
}

/// Take a member out of use.
pub(super) async fn drain(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    about(&api, request, |member| Ask::Drain { member }).await
}

/// Take it back.
pub(super) async fn undrain(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    about(&api, request, |member| Ask::Undrain { member }).await
}

/// Restart a Postgres.
pub(super) async fn restart(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let done = async {
        let who = who(&api, &request, Role::Operator)?;
        let Restart { member, manner, everybody, schedule } = body(request).await?;
        let status = current(&api)?;
        let member = known_member(&status, "member", member)?;
        if everybody {
            let (None, Some(at)) = (member, schedule) else {
                let says = "everybody: with a schedule and without a member; at once, haactl restart --rolling \
                            asks for one after the other";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, says.to_owned()));
            };
            if let Some(why) = status.bars_rolling_plan() {
                let says = format!("everybody: {why}");
                return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, says));
            }
            return plan(&api, &at, &who.by, rolling(&status)).await;
        }
        let member = member.unwrap_or_else(|| status.me.clone());
        let ask = Ask::Restart { member, manner };
        carry_or_plan(&api, ask.into(), &who, schedule).await
    };
    done.await.unwrap_or_else(Refusal::response)
}

/// Clone a replica anew. Answers when it has begun; `GET /requests` says how it stands.
pub(super) async fn reinitialize(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let done = async {
        let who = who(&api, &request, Role::Admin)?;
        let Reinitialize { member, from, scheduled_at, .. } = body(request).await?;
        let status = current(&api)?;
        let member = known_member(&status, "member", member)?;
        let member = member.unwrap_or_else(|| status.me.clone());
        let from = known_member(&status, "from", from)?;
        if let Some(why) = from.as_ref().and_then(|from| status.bars_source(&member, from)) {
            let says = format!("from: {why}");
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, says));
        }
        if let Some(at) = scheduled_at {
            let step = Ask::Reinit { member, data: None, from }.into();
            return plan(&api, &at, &who.by, vec![step]).await;
        }
        if let Some(says) = status.bars_reinit(&member) {
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, says));
        }
        let message = format!("{member} is being cloned anew: GET /requests says how it stands");
        let ask = Ask::Reinit { member, data: None, from };
        begun(&api, ask, who.by, message).await
    };
    done.await.unwrap_or_else(Refusal::response)
}

/// Forget a member. It is gone, so the leader says whether there was one.
pub(super) async fn remove(State(api): State<Arc<Api>>, request: Request<Body>) -> Response {
    let done = async {
        let who = who(&api, &request, Role::Admin)?;
        let About { member, scheduled_at } = body(request).await?;
        let member = member.ok_or_else(nobody_named)?.parse::<MemberName>();
        let member = member
            .map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, format!("member: {why}")))?;
        carry_or_plan(&api, Ask::Remove { member }.into(), &who, scheduled_at).await
    };
    done.await.unwrap_or_else(Refusal::response)
}

fn nobody_named() -> Refusal {
    let says = "member: whom? {\"member\": \"n2\"} is wanted".to_owned();
    Refusal::new(StatusCode::BAD_REQUEST, says)
}

async fn about(api: &Arc<Api>, request: Request<Body>, ask: fn(MemberName) -> Ask) -> Response {
    let done = async {
        let who = who(api, &request, Role::Operator)?;
        let About { member, scheduled_at } = body(request).await?;
        let Some(member) = known_member(&*current(api)?, "member", member)? else {
            return Err(nobody_named());
        };
        carry_or_plan(api, ask(member).into(), &who, scheduled_at).await
    };
    done.await.unwrap_or_else(Refusal::response)
}

pub(super) fn finish(done: Result<String, Refusal>) -> Response {
    done.map_or_else(Refusal::response, |says| text(StatusCode::OK, says))
}

/// Somebody who asks, and may.
pub(super) struct Who {
    /// Who, and from where.
    pub(super) by: String,
    /// For what.
    pub(super) wait: Wait,
    bearer: Bearer,
}

impl Who {
    /// What is asked turns out to need more.
    pub(super) fn may(&self, needs: Role) -> Result<(), Refusal> {
        self.bearer.may(needs).map_err(denied)
    }
}

fn denied(denied: Denied) -> Refusal {
    let code = match denied {
        Denied::Missing | Denied::Unknown | Denied::Expired { .. } => StatusCode::UNAUTHORIZED,
        Denied::TooLittle { .. } => StatusCode::FORBIDDEN,
    };
    Refusal::new(code, denied.to_string())
}

/// Who asks, if that one may do what needs this role.
pub(super) fn who(api: &Api, request: &Request<Body>, needs: Role) -> Result<Who, Refusal> {
    let header = request.headers().get(header::AUTHORIZATION);
    let header = header.and_then(|value| value.to_str().ok());
    let bearer = api.tokens.check(header).map_err(denied)?;
    bearer.may(needs).map_err(denied)?;
    let name = bearer.name.clone();
    let by = match request.extensions().get::<ConnectInfo<SocketAddr>>() {
        Some(ConnectInfo(address)) => format!("{name} from {}", address.ip()),
        None => name,
    };
    Ok(Who { by, wait: Wait::of(request.headers()), bearer })
}

/// An empty body asks for nothing in particular.
pub(super) async fn body<T: DeserializeOwned + Default>(
    request: Request<Body>,
) -> Result<T, Refusal> {
    let reading = axum::body::to_bytes(request.into_body(), BODY_LIMIT);
    let bytes = match tokio::time::timeout(BODY_PATIENCE, reading).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let says = format!("the command could not be read, or is over {BODY_LIMIT} bytes");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, says));
        }
        Err(_) => {
            let says = format!("the command had not arrived after {BODY_PATIENCE:?}");
            return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, says));
        }
    };
    if bytes.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let says = format!("the command is not the JSON that is wanted: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, says)
    })
}

pub(super) fn current(api: &Api) -> Result<Arc<Status>, Refusal> {
    api.status.borrow().clone().ok_or_else(|| {
        let says = "the agent has just started and knows nothing yet: ask again, or another member";
        Refusal::untaken(says.to_owned())
    })
}

/// The member of that name; a stranger's is refused with the names that are known.
pub(super) fn known_member(
    status: &Status,
    key: &str,
    name: Option<String>,
) -> Result<Option<MemberName>, Refusal> {
    let Some(name) = name else { return Ok(None) };
    let all: BTreeSet<&MemberName> = status.members.keys().chain(&status.drained).collect();
    match all.iter().find(|member| member.as_str() == name) {
        Some(member) => Ok(Some((*member).clone())),
        None => {
            let known: Vec<&str> = all.into_iter().map(MemberName::as_str).collect();
            let name = name.escape_debug();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let says = format!(
                "{key}: there is no member '{name}' now, or its agent is gone; members are {known}"
            );
            Err(Refusal::new(StatusCode::BAD_REQUEST, says))
        }
    }
}
