//! The client transactions of an agent: what the two client machines share, and the table that holds them.

use super::{Event, InviteClient, NonInviteClient, Outbox, Path, Timers, invite_client, non_invite_client};
use crate::bounded::Full;
use crate::env::Entropy;
use crate::ids::{StreamId, sha1};
use crate::sip::msg::{Method, Response, Status};
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use bytes::Bytes;
use core::fmt::Write as _;
use core::net::SocketAddr;

/// What happens to a client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A response from 100 to 199.
    Provisional,
    /// A response from 200 to 299.
    Success,
    /// A response from 300 to 699.
    Failure,
    /// The request could not be sent.
    TransportError,
    /// A timer fired.
    Fired(Timer),
}

impl Input {
    fn of_status(status: Status) -> Self {
        match status.code() {
            ..200 => Input::Provisional,
            200..300 => Input::Success,
            _ => Input::Failure,
        }
    }
}

/// The timers of the client machines, by the RFC's letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// INVITE retransmission, unreliable transports only.
    A,
    /// INVITE transaction timeout.
    B,
    /// Wait time for response retransmissions (300-699).
    D,
    /// Non-INVITE retransmission, unreliable transports only.
    E,
    /// Non-INVITE transaction timeout.
    F,
    /// Wait time for response retransmissions.
    K,
    /// Wait time for further 2xx (RFC 6026).
    M,
}

/// What a client machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Send the request again.
    Resend,
    /// Pass the response to the user.
    Pass,
    /// Pass the response to the user and ACK it.
    PassAndAck,
    /// ACK the response.
    Ack,
    /// Tell the user that no response came.
    TimedOut,
    /// Tell the user that the request could not be sent.
    Failed,
}

/// Which client transaction: the branch that this node chose. CANCEL shares the branch of its INVITE (RFC 3261 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Branch {
    token: u64,
    cancel: bool,
}

impl Branch {
    const COOKIE: &str = "z9hG4bK";

    /// A fresh one.
    pub fn random(entropy: &mut dyn Entropy) -> Self {
        Branch { token: entropy.next_u64(), cancel: false }
    }

    /// The same one whenever it is made from the same text: for an ACK that has to go out again unchanged.
    pub fn derived(text: &str) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = sha1(text.as_bytes());
        Branch { token: u64::from_be_bytes([a, b, c, d, e, f, g, h]), cancel: false }
    }

    /// The branch parameter.
    pub fn to_param(self) -> String {
        let mut text = String::with_capacity(Self::COOKIE.len() + 16);
        // Writing into a String cannot fail.
        let _ = write!(text, "{}{:016x}", Self::COOKIE, self.token);
        text
    }

    /// Reads a branch parameter that [`Branch::to_param`] wrote.
    fn of_param(text: &str, cancel: bool) -> Option<Self> {
        let digits = text.strip_prefix(Self::COOKIE).filter(|d| d.len() == 16)?;
        let token = u64::from_str_radix(digits, 16).ok()?;
        Some(Branch { token, cancel })
    }

    /// The CANCEL of this INVITE.
    pub fn cancel(self) -> Self {
        Branch { cancel: true, ..self }
    }
}

/// A request that begins a transaction.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// It stands in the top Via of the message.
    pub branch: Branch,
    /// The method.
    pub method: Method,
    /// The whole message.
    pub message: Bytes,
    /// Where it goes.
    pub path: Path,
    /// The same message with UDP in its Via, for a request that takes TCP only because of its size (RFC 3261 §18.1.1).
    pub over_udp: Option<Bytes>,
}

#[derive(Debug)]
enum Machine {
    Invite(InviteClient),
    NonInvite(NonInviteClient),
}

#[derive(Debug)]
struct Entry<U> {
    machine: Machine,
    method: Method,
    path: Path,
    /// The request; from the failure response on its ACK.
    message: Bytes,
    over_udp: Option<(SocketAddr, Bytes)>,
    user: U,
    /// When it was sent, while nothing came back and it was sent only once (Karn).
    clean_since: Option<Instant>,
    /// Under which time it stands in the order of deadlines.
    filed: Option<Instant>,
}

impl<U> Entry<U> {
    fn deadline(&self) -> Option<Instant> {
        match &self.machine {
            Machine::Invite(m) => m.deadline(),
            Machine::NonInvite(m) => m.deadline(),
        }
    }

    fn step(&mut self, now: Instant, input: Input, timers: &Timers) -> Action {
        match &mut self.machine {
            Machine::Invite(m) => m.step(now, input, timers),
            Machine::NonInvite(m) => m.step(now, input, timers),
        }
    }

    fn handle_timeout(&mut self, now: Instant, timers: &Timers) -> Action {
        match &mut self.machine {
            Machine::Invite(m) => m.handle_timeout(now, timers),
            Machine::NonInvite(m) => m.handle_timeout(now, timers),
        }
    }

    fn is_over(&self) -> bool {
        match &self.machine {
            Machine::Invite(m) => m.state() == invite_client::State::Terminated,
            Machine::NonInvite(m) => m.state() == non_invite_client::State::Terminated,
        }
    }

    /// Whether nothing has come back yet.
    fn is_unanswered(&self) -> bool {
        match &self.machine {
            Machine::Invite(m) => m.state() == invite_client::State::Calling,
            Machine::NonInvite(m) => m.state() == non_invite_client::State::Trying,
        }
    }
}

/// The client transactions of an agent. `U` is what the user wants to be reminded of.
#[derive(Debug)]
pub struct Clients<U> {
    entries: BTreeMap<Branch, Entry<U>>,
    deadlines: BTreeSet<(Instant, Branch)>,
    timers: Timers,
    limit: usize,
}

/// What a response means for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched<U> {
    /// Which transaction.
    pub branch: Branch,
    /// What the user wanted to be reminded of.
    pub user: U,
    /// From the moment in which the request left to this response, when it is the first one and the request was sent once.
    pub rtt: Option<Duration>,
}

/// What became of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<U> {
    /// It is for the user.
    Pass(Matched<U>),
    /// The transaction dealt with it.
    Absorbed,
    /// There is no such transaction (RFC 6026 §8.9: dropped).
    Stray,
}

impl<U: Copy> Clients<U> {
    /// An empty table for at most `limit` transactions.
    pub fn new(timers: Timers, limit: usize) -> Self {
        Clients { entries: BTreeMap::new(), deadlines: BTreeSet::new(), timers, limit }
    }

    /// Transactions now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a further request would be refused.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.limit
    }

    /// When [`Clients::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// Begins a transaction and sends its request.
    pub fn request(
        &mut self,
        now: Instant,
        request: Outgoing,
        user: U,
        out: &mut Outbox<U>,
    ) -> Result<(), Full> {
        if self.is_full() {
            return Err(Full);
        }
        let Outgoing { branch, method, message, path, over_udp } = request;
        let reliable = path.is_reliable();
        let machine = match method == Method::INVITE {
            true => Machine::Invite(InviteClient::new(now, reliable, &self.timers)),
            false => Machine::NonInvite(NonInviteClient::new(now, reliable, &self.timers)),
        };
        out.push_back(Event::Send { path, bytes: message.clone(), client: Some(branch) });
        let over_udp = over_udp.map(|bytes| (path.address(), bytes));
        let entry =
            Entry { machine, method, path, message, over_udp, user, clean_since: Some(now), filed: None };
        self.entries.insert(branch, entry);
        self.file(branch);
        Ok(())
    }

    /// The message that a transaction sends, and where: what its CANCEL and the ACK of its 2xx are made from.
    pub fn sent(&self, branch: Branch) -> Option<(&Bytes, Path)> {
        self.entries.get(&branch).map(|e| (&e.message, e.path))
    }

    /// Which transaction a response with this branch parameter belongs to, and what its user wanted to be reminded of.
    pub fn find(&self, branch: &str, response: &Response) -> Option<(Branch, &U)> {
        let method = response.headers.cseq().ok()??.method;
        let branch = Branch::of_param(branch, method == Method::CANCEL)?;
        let entry = self.entries.get(&branch).filter(|e| e.method == method)?;
        Some((branch, &entry.user))
    }

    /// Gives a transaction up without a word, and tells what its user wanted to be reminded of.
    pub fn forget(&mut self, branch: Branch) -> Option<U> {
        let entry = self.entries.remove(&branch)?;
        if let Some(at) = entry.filed {
            self.deadlines.remove(&(at, branch));
        }
        Some(entry.user)
    }

    /// A response whose top Via carries this branch parameter. `ack` makes the ACK for a failure response to INVITE out
    /// of the request.
    pub fn on_response(
        &mut self,
        now: Instant,
        branch: &str,
        response: &Response,
        ack: impl FnOnce(&Bytes) -> Option<Bytes>,
        out: &mut Outbox<U>,
    ) -> Verdict<U> {
        let Some((branch, _)) = self.find(branch, response) else { return Verdict::Stray };
        let Some(entry) = self.entries.get_mut(&branch) else { return Verdict::Stray };
        let action = entry.step(now, Input::of_status(response.status()), &self.timers);
        if action == Action::PassAndAck {
            // What a transaction in Completed sends again is the ACK.
            match ack(&entry.message) {
                Some(ack) => entry.message = ack,
                None => entry.message.clear(),
            }
        }
        if matches!(action, Action::PassAndAck | Action::Ack) && !entry.message.is_empty() {
            out.push_back(Event::Send {
                path: entry.path,
                bytes: entry.message.clone(),
                client: Some(branch),
            });
        }
        let rtt = entry.clean_since.take().map(|at| now.since(at));
        let matched = Matched { branch, user: entry.user, rtt };
        self.file(branch);
        match action {
            Action::Pass | Action::PassAndAck => Verdict::Pass(matched),
            _ => Verdict::Absorbed,
        }
    }

    /// The request has waited for its connection, and leaves only now: how long that took says nothing about the way.
    pub fn on_left(&mut self, now: Instant, branch: Branch) {
        if let Some(since) = self.entries.get_mut(&branch).and_then(|entry| entry.clean_since.as_mut()) {
            *since = now;
        }
    }

    /// The request could not be sent.
    pub fn on_transport_error(&mut self, now: Instant, branch: Branch, out: &mut Outbox<U>) {
        let Some(entry) = self.entries.get_mut(&branch) else { return };
        if let Some((to, message)) = entry.over_udp.take().filter(|_| entry.is_unanswered()) {
            // It took TCP only because of its size, and nobody listens there (RFC 3261 §18.1.1).
            (entry.path, entry.message) = (Path::Datagram(to), message);
            entry.machine = match entry.machine {
                Machine::Invite(_) => Machine::Invite(InviteClient::new(now, false, &self.timers)),
                Machine::NonInvite(_) => Machine::NonInvite(NonInviteClient::new(now, false, &self.timers)),
            };
            entry.clean_since = Some(now);
            out.push_back(Event::Send {
                path: entry.path,
                bytes: entry.message.clone(),
                client: Some(branch),
            });
        } else {
            let action = entry.step(now, Input::TransportError, &self.timers);
            Self::act(branch, entry, action, out);
        }
        self.file(branch);
    }

    /// The request went out on this stream.
    pub fn on_sent(&mut self, branch: Branch, stream: StreamId) {
        if let Some(Entry { path: Path::Stream { id, .. }, .. }) = self.entries.get_mut(&branch) {
            *id = Some(stream);
        }
    }

    /// A stream is gone, and with it whatever was not answered.
    pub fn on_stream_closed(&mut self, now: Instant, stream: StreamId, out: &mut Outbox<U>) {
        self.fail_all(now, |path| matches!(path, Path::Stream { id: Some(id), .. } if id == stream), out);
    }

    /// Datagrams to this address do not arrive.
    pub fn on_unreachable(&mut self, now: Instant, to: SocketAddr, out: &mut Outbox<U>) {
        self.fail_all(now, |path| path == Path::Datagram(to), out);
    }

    fn fail_all(&mut self, now: Instant, uses: impl Fn(Path) -> bool, out: &mut Outbox<U>) {
        let hit: alloc::vec::Vec<Branch> =
            self.entries.iter().filter(|(_, e)| uses(e.path)).map(|(&b, _)| b).collect();
        for branch in hit {
            self.on_transport_error(now, branch, out);
        }
    }

    /// Fires everything that is due.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<U>) {
        while let Some(&(at, branch)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            let Some(entry) = self.entries.get_mut(&branch) else {
                self.deadlines.remove(&(at, branch));
                continue;
            };
            let action = entry.handle_timeout(now, &self.timers);
            Self::act(branch, entry, action, out);
            self.file(branch);
        }
    }

    fn act(branch: Branch, entry: &mut Entry<U>, action: Action, out: &mut Outbox<U>) {
        let user = entry.user;
        match action {
            Action::Resend => {
                entry.clean_since = None;
                let bytes = entry.message.clone();
                out.push_back(Event::Send { path: entry.path, bytes, client: Some(branch) });
            }
            Action::TimedOut => out.push_back(Event::TimedOut { branch, user }),
            Action::Failed => out.push_back(Event::Failed { branch, user }),
            Action::None | Action::Pass | Action::PassAndAck | Action::Ack => {}
        }
    }

    /// Puts a transaction into its place in the order of deadlines, or out of the table when it is over.
    fn file(&mut self, branch: Branch) {
        let Some(entry) = self.entries.get_mut(&branch) else { return };
        let deadline = entry.deadline();
        if deadline != entry.filed {
            if let Some(old) = entry.filed {
                self.deadlines.remove(&(old, branch));
            }
            entry.filed = deadline;
            self.deadlines.extend(deadline.map(|at| (at, branch)));
        }
        if entry.is_over() {
            self.forget(branch);
        }
    }
}
