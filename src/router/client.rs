//! One client's way: its first packet, the hold, its server, the relay, the cut. Asks the compass, decides nothing.

use std::pin::pin;
use std::time::Duration;

use haa_core::seat::Seat;
use haa_core::units::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::answer::Search;
use super::cancels::{Known, forward};
use super::compass::Compass;
use super::counters::{Counts, Inside, Seated};
use super::packet::{Packet, Unreadable, fatal, read};
use super::port::Port;
use super::relay::relay;
use super::server::{Opened, open};

/// A client has said what it wants by then.
const FIRST_PACKET: Duration = Duration::from_secs(5);
/// A client that was refused has this long to read why.
const FAREWELL: Duration = Duration::from_secs(2);

/// SQLSTATE `cannot_connect_now`: clients with several hosts try the next one.
const NOT_NOW: &str = "57P03";
/// SQLSTATE `too_many_connections`
const TOO_MANY: &str = "53300";

/// A client that comes to a port.
pub(super) struct Client<'a> {
    pub(super) port: &'a Port,
    pub(super) stream: TcpStream,
    pub(super) compass: Compass,
}

/// A server that took the client.
struct Placed<'a> {
    seat: Seat,
    opened: Opened,
    _seated: Seated<'a>,
}

/// Why no server did.
enum Unplaced {
    /// The client has left.
    Left,
    /// What it is to be told.
    Refused(&'static str, String),
}

impl<'a> Client<'a> {
    /// All of it.
    pub(super) async fn run(mut self) {
        let port = self.port;
        let ticket = port.lobby.enter();
        let greeted = tokio::select! {
            greeted = self.greet() => greeted,
            () = ticket.out.cancelled() => {
                port.counts().silent.one();
                None
            }
            () = port.stop.cancelled() => None,
        };
        drop(ticket);
        let Some((first, _inside)) = greeted else { return };
        match self.place(&first).await {
            Ok(placed) => {
                port.counts().sent_on.one();
                self.sit(first, placed).await;
            }
            Err(Unplaced::Left) => {}
            Err(Unplaced::Refused(code, says)) => self.refuse(&first, code, &says).await,
        }
    }

    /// Reads what it wants. `None`: it wants no session, or can have none.
    async fn greet(&mut self) -> Option<(Packet, Inside<'a>)> {
        let (port, counts) = (self.port, self.port.counts());
        match tokio::time::timeout(FIRST_PACKET, read(&mut self.stream)).await {
            Err(_) => counts.silent.one(),
            // A look whether the port is open.
            Ok(Err(Unreadable::Ended)) => {}
            Ok(Err(why)) => {
                counts.unreadable.one();
                tracing::debug!(error = %why, "a client was refused");
                if let Some((code, says)) = why.says() {
                    farewell(&mut self.stream, &fatal(code, &says)).await;
                }
            }
            Ok(Ok(Packet::Cancel(key))) => {
                counts.cancels.one();
                let usual = self.compass.seats(port.access).unwrap_or_default();
                let usual = usual.into_iter().map(|seat| seat.address).collect();
                forward(&key, port.cancels.servers(&key, usual)).await;
            }
            Ok(Ok(first)) => match counts.clients.enter(port.limits.max_connections) {
                Some(inside) => return Some((first, inside)),
                None => {
                    counts.over_limit.one();
                    let says = "this router has too many clients: try again later, or raise \
                                router.max_connections";
                    self.refuse(&first, TOO_MANY, says).await;
                }
            },
        }
        None
    }

    /// Finds a server. While there is none the client is held: until there is news, over and over.
    async fn place(&mut self, first: &Packet) -> Result<Placed<'a>, Unplaced> {
        let (port, counts) = (self.port, self.port.counts());
        let compass = &mut self.compass;
        let mut gone = pin!(gone(&self.stream));
        let mut over = pin!(tokio::time::sleep(port.limits.hold));
        let mut held = None;
        loop {
            let tried = async {
                let seats = compass.seats(port.access).map_err(str::to_owned)?;
                attempt(counts, compass, seats, first).await
            };
            let why = tokio::select! {
                tried = tried => match tried {
                    Ok(placed) => return Ok(placed),
                    Err(why) => why,
                },
                () = &mut gone => return Err(Unplaced::Left),
                () = port.cut.cancelled() => return Err(Unplaced::Left),
            };
            if held.is_none() {
                held = counts.held.enter(port.limits.max_held);
                if held.is_none() {
                    counts.over_limit.one();
                    let says = format!("{why}; too many wait for a server already: try again");
                    return Err(Unplaced::Refused(NOT_NOW, says));
                }
                counts.held_ever.one();
            }
            tokio::select! {
                () = compass.news() => {}
                () = &mut gone => return Err(Unplaced::Left),
                () = &mut over => {
                    counts.hold_expired.one();
                    let hold = port.limits.hold;
                    let says = format!("{why}; held for {hold:?}: try again");
                    return Err(Unplaced::Refused(NOT_NOW, says));
                }
                () = port.stop.cancelled() => {
                    let says = format!("{why}; this router stops: try another");
                    return Err(Unplaced::Refused(NOT_NOW, says));
                }
            }
        }
    }

    /// Relays until either side ends, the server is deposed, or the router has drained.
    async fn sit(&mut self, mut first: Packet, placed: Placed<'a>) {
        let (port, counts) = (self.port, self.port.counts());
        let Placed { seat, opened, _seated } = placed;
        let Opened { stream: mut server, said } = opened;
        let mut said = Some(said);
        let (member, at) = (seat.member.clone(), seat.address.clone());
        let mut compass = self.compass.clone();
        let talk = async {
            let client = &mut self.stream;
            loop {
                let answer = said.take().unwrap_or_default();
                client.write_all(&answer).await?;
                counts.bytes_to_client.add(u64::try_from(answer.len()).unwrap_or(u64::MAX));
                // Not encrypted after all: it goes on in clear, with the next first packet.
                if !matches!(first, Packet::Encrypt(_)) || answer != b"N" {
                    let mut trace = Trace::new(port, &at, &first, &answer);
                    return relay(client, &mut server, counts, |bytes| trace.look(bytes)).await;
                }
                first = again(client).await?;
                server.write_all(bytes(&first)).await?;
                said = Some(if matches!(first, Packet::Encrypt(_)) {
                    let mut byte = vec![0; 1];
                    server.read_exact(&mut byte).await?;
                    byte
                } else {
                    Vec::new()
                });
            }
        };
        tokio::select! {
            ended = talk => if let Err(error) = ended {
                tracing::debug!(%error, %member, "a connection broke");
            },
            () = compass.leaves(seat) => {
                counts.cut.one();
                tracing::debug!(%member, "a connection was cut: its server does not lead any more");
            }
            () = port.cut.cancelled() => {}
        }
    }

    /// Says why in a way that the client understands. One that asked for TLS hears that there is none here: if it goes
    /// on in clear it is told why, and if it insists on TLS it leaves.
    async fn refuse(&mut self, first: &Packet, code: &str, says: &str) {
        let mut next = first.clone();
        let refusal = async {
            while matches!(next, Packet::Encrypt(_)) {
                self.stream.write_all(b"N").await?;
                next = again(&mut self.stream).await?;
            }
            std::io::Result::Ok(())
        };
        let told = tokio::time::timeout(FAREWELL, refusal).await;
        if matches!(told, Ok(Ok(()))) && matches!(next, Packet::Startup(_)) {
            farewell(&mut self.stream, &fatal(code, says)).await;
        }
    }
}

/// What a CancelRequest for this session will need, from what the server says.
struct Trace<'a> {
    port: &'a Port,
    at: &'a Address,
    search: Option<Search>,
    known: Option<Known<'a>>,
}

impl<'a> Trace<'a> {
    fn new(port: &'a Port, at: &'a Address, first: &Packet, said: &[u8]) -> Self {
        let clear = matches!(first, Packet::Startup(_));
        let known = (!clear).then(|| port.cancels.unseen(at.clone()));
        let mut trace = Self { port, at, search: clear.then(Search::default), known };
        trace.look(said);
        trace
    }

    fn look(&mut self, bytes: &[u8]) {
        let Some(search) = &mut self.search else { return };
        if let Some(key) = search.next(bytes) {
            self.known = Some(self.port.cancels.key(key, self.at.clone()));
        }
        if search.is_over() {
            self.search = None;
        }
    }
}

/// One attempt at the server with the fewest connections, and at the others after it.
async fn attempt<'a>(
    counts: &'a Counts,
    compass: &mut Compass,
    mut seats: Vec<Seat>,
    first: &Packet,
) -> Result<Placed<'a>, String> {
    let mut why = "there is no server".to_owned();
    while !seats.is_empty() {
        let Some((seat, _seated)) = counts.fewest(&seats, |seat| &seat.member) else { break };
        let seat = seat.clone();
        let opened = tokio::select! {
            opened = open(&seat.address, bytes(first)) => opened,
            () = compass.leaves(seat.clone()) => return Err("the primary changes".to_owned()),
        };
        match opened {
            Ok(opened) => return Ok(Placed { seat, opened, _seated }),
            Err(error) => {
                why = format!("{} at {} was not reached ({error})", seat.member, seat.address);
            }
        }
        seats.retain(|other| other.member != seat.member);
    }
    Err(why)
}

/// The bytes of a first packet that goes to a server.
fn bytes(packet: &Packet) -> &[u8] {
    match packet {
        Packet::Encrypt(bytes) | Packet::Tls(bytes) | Packet::Startup(bytes) => bytes,
        Packet::Cancel(_) => &[],
    }
}

/// The next first packet, after encryption was declined.
async fn again(client: &mut TcpStream) -> std::io::Result<Packet> {
    let next = tokio::time::timeout(FIRST_PACKET, read(client)).await;
    let next = next.map_err(|_| std::io::Error::other("it said nothing more"))?;
    match next.map_err(std::io::Error::other)? {
        Packet::Cancel(_) => Err(std::io::Error::other("a CancelRequest where none can be")),
        packet => Ok(packet),
    }
}

/// Ends when the client has closed its side. A client that says more before it was answered is there.
async fn gone(client: &TcpStream) {
    match client.peek(&mut [0]).await {
        Ok(0) | Err(_) => {}
        Ok(_) => std::future::pending().await,
    }
}

/// The last words, and time to read them: closing on unread bytes would take them back.
async fn farewell(client: &mut TcpStream, words: &[u8]) {
    let said = async {
        client.write_all(words).await?;
        client.shutdown().await?;
        let mut rest = [0; 1024];
        while client.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    drop(tokio::time::timeout(FAREWELL, said).await);
}
