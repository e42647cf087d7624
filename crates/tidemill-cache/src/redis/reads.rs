//! Plain reads on a connection of their own: what many tasks ask for goes out as one MGET, and comes back where it lies.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use redis::{ConnectionAddr, ConnectionInfo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::link::lock;
use super::resp::{self, Reply, Values, Violation};
use super::turn::{Answers, Failed, Place, Turn};

/// Keys of one turn.
const KEYS: usize = 256;
/// Bytes of a turn's keys, unless one key alone has more.
const KEY_BYTES: usize = 64 << 10;
/// Turns that wait; beyond, a reader waits for a place.
const TURNS: usize = 16;
/// Turns on their way. With two, 64 tasks make turns of 20 keys instead of 45, and each read takes a fifth longer.
const UNDER_WAY: usize = 1;
/// What the server's list of clients calls us.
const NAME: &[u8] = b"tidemill-cache-reads";
/// Room for what comes, at least.
const ROOM: usize = 64 << 10;
/// Room that is made for a long value before it has come, at most.
const ROOM_AHEAD: usize = 1 << 20;

/// Keys that wait for the next turn. Whoever reads joins here; a [`Stream`] serves it.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    room: Notify,
}

#[derive(Default)]
struct State {
    served: bool,
    turns: VecDeque<Pending>,
    idle: Option<Waker>,
}

#[derive(Default)]
struct Pending {
    keys: Vec<u8>,
    count: usize,
    turn: Arc<Turn>,
}

impl Queue {
    /// The key's bytes; `None`: nobody serves reads here, another way is to be taken.
    pub(super) async fn get(&self, key: &[u8]) -> Option<Result<Option<bytes::Bytes>, Failed>> {
        loop {
            let room = self.room.notified();
            match self.join(key) {
                Join::Place(place) => return Some(place.await),
                Join::Unserved => return None,
                Join::Full => room.await,
            }
        }
    }

    fn join(&self, key: &[u8]) -> Join {
        let mut state = lock(&self.state);
        if !state.served {
            return Join::Unserved;
        }
        let fits = |pending: &Pending| pending.count < KEYS && pending.keys.len() + key.len() <= KEY_BYTES;
        if !state.turns.back().is_some_and(fits) {
            if state.turns.len() >= TURNS {
                return Join::Full;
            }
            state.turns.push_back(Pending::default());
        }
        let Some(pending) = state.turns.back_mut() else { return Join::Full };
        resp::argument(&[key], &mut pending.keys);
        pending.count += 1;
        let place = Place::new(Arc::clone(&pending.turn), pending.count - 1);
        let idle = state.idle.take();
        drop(state);
        if let Some(idle) = idle {
            idle.wake();
        }
        Join::Place(place)
    }

    fn take(&self) -> Option<Pending> {
        let mut state = lock(&self.state);
        let full = state.turns.len() >= TURNS;
        let pending = state.turns.pop_front();
        drop(state);
        if full {
            self.room.notify_waiters();
        }
        pending
    }

    /// Until somebody wants something, or nobody serves here any more.
    async fn wanted(&self) {
        std::future::poll_fn(|context| {
            let mut state = lock(&self.state);
            if !state.turns.is_empty() || !state.served {
                return Poll::Ready(());
            }
            state.idle = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn open(&self) {
        lock(&self.state).served = true;
    }

    fn is_served(&self) -> bool {
        lock(&self.state).served
    }

    /// Nobody reads here any more; who waits is told so.
    pub(super) fn close(&self) {
        let (turns, idle) = {
            let mut state = lock(&self.state);
            state.served = false;
            (std::mem::take(&mut state.turns), state.idle.take())
        };
        turns.into_iter().for_each(|pending| pending.turn.end(Err(Failed::Lost)));
        self.room.notify_waiters();
        idle.into_iter().for_each(Waker::wake);
    }
}

enum Join {
    Place(Place),
    /// Too many wait.
    Full,
    Unserved,
}

/// A connection that has been greeted: it reads, and hears when the generations change.
pub(super) struct Stream {
    socket: TcpStream,
    arrived: BytesMut,
}

impl Stream {
    /// `None`: its kind of address is not for us. It is of the same server as the one whose `run_id` that is.
    pub(super) async fn open(
        info: &ConnectionInfo,
        counter: &[u8],
        run_id: &str,
    ) -> io::Result<Option<Self>> {
        let ConnectionAddr::Tcp(host, port) = info.addr() else { return Ok(None) };
        let socket = TcpStream::connect((host.as_str(), *port)).await?;
        socket.set_nodelay(true)?;
        let mut stream = Self { socket, arrived: BytesMut::with_capacity(ROOM) };
        let settings = info.redis_settings();
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = settings.password() {
            let user = settings.username().unwrap_or("default");
            hello.extend([b"AUTH", user.as_bytes(), password.as_bytes()]);
        }
        hello.extend([b"SETNAME", NAME]);
        stream.ask(&hello).await?;
        if settings.db() != 0 {
            stream.ask(&[b"SELECT", settings.db().to_string().as_bytes()]).await?;
        }
        // Two connections to one address may end at two servers.
        let says = stream.ask(&[b"INFO", b"server"]).await?;
        if run_id.is_empty() || self::run_id(&String::from_utf8_lossy(&says)) != Some(run_id) {
            return Err(io::Error::other("another server answers at the same address"));
        }
        // So that a change of the generations is heard before a value that was read after it.
        stream.ask(&[b"CLIENT", b"TRACKING", b"ON", b"BCAST", b"PREFIX", counter]).await?;
        Ok(Some(stream))
    }

    async fn ask(&mut self, parts: &[&[u8]]) -> io::Result<BytesMut> {
        let mut command = Vec::new();
        resp::command(parts, &mut command);
        self.socket.write_all(&command).await?;
        loop {
            if let Some(len) = resp::frame(&self.arrived).map_err(io::Error::other)? {
                let reply = self.arrived.split_to(len);
                return match reply.first() {
                    Some(b'-' | b'!') => Err(io::Error::other("the server refuses a connection for reads")),
                    Some(b'>') => continue,
                    _ => Ok(reply),
                };
            }
            if self.socket.read_buf(&mut self.arrived).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Serves the queue until the connection is lost, an answer is late or is not what was asked for; `pushed` is called
    /// for each push of the server.
    pub(super) async fn serve(mut self, queue: &Queue, timeout: Duration, pushed: impl Fn()) {
        let mut turns = UnderWay { queue, turns: VecDeque::new() };
        queue.open();
        let failed = self.turns(&mut turns, timeout, pushed).await;
        turns.turns.drain(..).for_each(|sent| sent.turn.end(Err(failed)));
    }

    async fn turns(&mut self, under_way: &mut UnderWay<'_>, timeout: Duration, pushed: impl Fn()) -> Failed {
        let (queue, turns) = (under_way.queue, &mut under_way.turns);
        let mut command = Vec::new();
        let late = tokio::time::sleep(timeout);
        tokio::pin!(late);
        while queue.is_served() {
            while turns.len() < UNDER_WAY
                && let Some(pending) = queue.take()
            {
                command.clear();
                resp::head(pending.count + 1, &mut command);
                resp::argument(&[b"MGET"], &mut command);
                command.extend_from_slice(&pending.keys);
                let sent = Sent { turn: pending.turn, values: Values::of(pending.count), at: Instant::now() };
                turns.push_back(sent);
                // Bounded like everything by who waits for the turn.
                match tokio::time::timeout(timeout, self.socket.write_all(&command)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Failed::Lost,
                    Err(_) => return Failed::Late,
                }
            }
            tokio::select! {
                biased;
                read = self.socket.read_buf(&mut self.arrived) => match read {
                    Ok(0) | Err(_) => return Failed::Lost,
                    Ok(_) => {}
                },
                () = queue.wanted(), if turns.len() < UNDER_WAY => continue,
                () = &mut late => {
                    let due = turns.front().map_or_else(Instant::now, |sent| sent.at) + timeout;
                    if due <= Instant::now() {
                        return Failed::Late;
                    }
                    // Looked at again when the oldest is due, and not set anew for each.
                    late.as_mut().reset(due);
                }
            }
            match self.answer(turns, &pushed) {
                Err(_) => return Failed::Lost,
                // Who got an answer is about to ask again: those go out together.
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => {}
            }
        }
        Failed::Lost
    }

    /// Hands out what has come; says whether more than one waited for it.
    fn answer(&mut self, turns: &mut VecDeque<Sent>, pushed: &impl Fn()) -> Result<bool, Violation> {
        let mut several = false;
        loop {
            let Some(sent) = turns.front_mut() else {
                // Unasked, it can only be a push.
                let mut nobodys = Values::of(0);
                match (self.arrived.is_empty(), nobodys.advance(&self.arrived)) {
                    (true, _) => return Ok(several),
                    (_, Ok(Reply::Push(len))) => self.arrived.advance(len),
                    (_, Ok(Reply::More(_))) => return Ok(several),
                    _ => return Err(Violation("an answer that nobody waits for")),
                }
                pushed();
                continue;
            };
            match sent.values.advance(&self.arrived)? {
                Reply::More(missing) => {
                    self.arrived.reserve(missing.clamp(ROOM, ROOM_AHEAD));
                    return Ok(several);
                }
                Reply::Push(len) => {
                    self.arrived.advance(len);
                    pushed();
                }
                Reply::Refused(len) => {
                    self.arrived.advance(len);
                    turns.pop_front().into_iter().for_each(|sent| sent.turn.end(Err(Failed::Refused)));
                }
                Reply::Values(len) => {
                    let frame = self.arrived.split_to(len).freeze();
                    let Some(sent) = turns.pop_front() else { continue };
                    let found = sent.values.found();
                    several |= found.len() > 1;
                    sent.turn.end(Ok(Answers { frame, found }));
                }
            }
        }
    }
}

struct Sent {
    turn: Arc<Turn>,
    values: Values,
    at: Instant,
}

/// Ends what is under way when nobody serves it any more, whatever the reason.
struct UnderWay<'a> {
    queue: &'a Queue,
    turns: VecDeque<Sent>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.queue.close();
        self.turns.drain(..).for_each(|sent| sent.turn.end(Err(Failed::Lost)));
    }
}

/// What `INFO server` says of which server it is.
pub(super) fn run_id(info: &str) -> Option<&str> {
    info.lines().find_map(|line| line.strip_prefix("run_id:")).map(str::trim)
}

#[cfg(test)]
mod tests;
