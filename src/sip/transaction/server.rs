//! The server transactions of an agent: what the two server machines share, and the table that holds them.

use super::{
    Event, InviteServer, Key, NonInviteServer, Outbox, Path, Timers, invite_server, non_invite_server,
};
use crate::bounded::Full;
use crate::ids::HostPrefix;
use crate::sip::msg::Status;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet, btree_map};
use bytes::Bytes;

/// What happens to a server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The request came again.
    Request,
    /// An ACK came.
    Ack,
    /// The user sends a response from 101 to 199.
    Provisional,
    /// The user sends a response from 200 to 299.
    Success,
    /// The user sends a response from 300 to 699.
    Failure,
    /// A response could not be sent.
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

/// The timers of the server machines, by the RFC's letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The 200 ms after which an INVITE that the user has not answered gets a 100. The RFC gives it no letter.
    Trying,
    /// INVITE response retransmission, unreliable transports only.
    G,
    /// Wait time for the ACK.
    H,
    /// Wait time for ACK retransmissions.
    I,
    /// Wait time for non-INVITE request retransmissions.
    J,
    /// Wait time for accepted INVITE retransmissions (RFC 6026).
    L,
}

/// What a server machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Send the response that the user has just given.
    Send,
    /// Send the last response again, if there was one.
    SendAgain,
    /// Send a 100 (Trying).
    SendTrying,
    /// Pass the ACK to the user.
    PassAck,
    /// Tell the user that a response could not be sent.
    Failed,
}

#[derive(Debug)]
enum Machine {
    Invite(InviteServer),
    NonInvite(NonInviteServer),
}

#[derive(Debug)]
struct Entry<U> {
    machine: Machine,
    path: Path,
    /// The last response.
    response: Bytes,
    user: U,
    /// The host of a request outside of any dialog.
    stranger: Option<HostPrefix>,
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

    /// Whether it only waits for copies of a request inside a dialog, whose sequence number tells them from new ones as well.
    fn is_dispensable(&self) -> bool {
        let answered = match &self.machine {
            Machine::Invite(_) => false,
            Machine::NonInvite(m) => m.state() == non_invite_server::State::Completed,
        };
        answered && self.stranger.is_none()
    }

    fn is_over(&self) -> bool {
        match &self.machine {
            Machine::Invite(m) => m.state() == invite_server::State::Terminated,
            Machine::NonInvite(m) => m.state() == non_invite_server::State::Terminated,
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to no transaction: the user may open one, or it is the ACK of a 2xx.
    New,
    /// It is an ACK that its transaction passes on (RFC 6026).
    Pass,
    /// The transaction dealt with it.
    Absorbed,
}

/// The server transactions of an agent. `U` is what the user wants to be reminded of.
#[derive(Debug)]
pub struct Servers<U> {
    entries: BTreeMap<Key, Entry<U>>,
    deadlines: BTreeSet<(Instant, Key)>,
    /// Those among them that give their places up, the oldest first.
    dispensable: BTreeSet<(Instant, Key)>,
    /// How many of the transactions each host of a stranger has.
    strangers: BTreeMap<HostPrefix, usize>,
    timers: Timers,
    limit: usize,
}

impl<U: Copy> Servers<U> {
    /// An empty table for at most `limit` transactions.
    pub fn new(timers: Timers, limit: usize) -> Self {
        Servers {
            entries: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            dispensable: BTreeSet::new(),
            strangers: BTreeMap::new(),
            timers,
            limit,
        }
    }

    /// Transactions now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a further request has to be answered without state.
    pub fn is_full(&self) -> bool {
        self.needed() >= self.limit
    }

    /// Transactions that give their place up for no other.
    fn needed(&self) -> usize {
        self.entries.len() - self.dispensable.len()
    }

    /// Whether what is left is kept for requests inside dialogs, so that no flood of strangers can silence those who
    /// are talking.
    pub fn is_crowded(&self) -> bool {
        self.needed() >= self.limit - self.limit / 4
    }

    /// Transactions of requests outside of dialogs that came from this host.
    pub fn of_host(&self, host: HostPrefix) -> usize {
        self.strangers.get(&host).copied().unwrap_or(0)
    }

    /// When [`Servers::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// What the user of this transaction wanted to be reminded of.
    pub fn user(&self, key: &Key) -> Option<U> {
        self.entries.get(key).map(|e| e.user)
    }

    /// A request or an ACK with this key.
    pub fn on_request<C>(&mut self, now: Instant, key: &Key, is_ack: bool, out: &mut Outbox<C>) -> Verdict {
        let Some(entry) = self.entries.get_mut(key) else { return Verdict::New };
        let input = if is_ack { Input::Ack } else { Input::Request };
        let action = entry.step(now, input, &self.timers);
        Self::act(entry, action, out);
        self.file(*key);
        if action == Action::PassAck { Verdict::Pass } else { Verdict::Absorbed }
    }

    /// Begins a transaction. Its responses take this path. `trying` is the 100 that an INVITE gets when the user takes
    /// its time; without it the transaction is a non-INVITE one. `stranger` is the host of a request outside of any dialog.
    /// Where all places are taken the one gives way that was answered first of those inside dialogs: over UDP they stay for 32
    /// seconds (timer J), and a hundred peers with one request a second each would shut everybody else out.
    pub fn open(
        &mut self,
        now: Instant,
        key: Key,
        path: Path,
        trying: Option<Bytes>,
        stranger: Option<HostPrefix>,
        user: U,
    ) -> Result<(), Full> {
        if self.is_full() {
            return Err(Full);
        }
        if self.entries.len() >= self.limit
            && let Some((at, gone)) = self.dispensable.pop_first()
        {
            self.deadlines.remove(&(at, gone));
            self.entries.remove(&gone);
        }
        let reliable = path.is_reliable();
        let machine = match trying {
            Some(_) => Machine::Invite(InviteServer::new(now, reliable, &self.timers)),
            None => Machine::NonInvite(NonInviteServer::new(reliable)),
        };
        let response = trying.unwrap_or_default();
        if let Some(host) = stranger {
            *self.strangers.entry(host).or_default() += 1;
        }
        self.entries.insert(key, Entry { machine, path, response, user, stranger, filed: None });
        self.file(key);
        Ok(())
    }

    /// Sends a response. Too late, or unknown to the table, it is discarded.
    pub fn respond<C>(
        &mut self,
        now: Instant,
        key: &Key,
        status: Status,
        response: Bytes,
        out: &mut Outbox<C>,
    ) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let action = entry.step(now, Input::of_status(status), &self.timers);
        if action == Action::Send {
            entry.response = response;
        }
        Self::act(entry, action, out);
        self.file(*key);
    }

    /// Sends the last response of an accepted INVITE once more: the user's 2xx that waits for its ACK.
    pub fn repeat<C>(&mut self, now: Instant, key: &Key, out: &mut Outbox<C>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let action = entry.step(now, Input::Success, &self.timers);
        Self::act(entry, action, out);
    }

    /// Fires everything that is due.
    pub fn handle_timeout<C>(&mut self, now: Instant, out: &mut Outbox<C>) {
        while let Some(&(at, key)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            let Some(entry) = self.entries.get_mut(&key) else {
                self.deadlines.remove(&(at, key));
                continue;
            };
            let action = entry.handle_timeout(now, &self.timers);
            Self::act(entry, action, out);
            self.file(key);
        }
    }

    fn act<C>(entry: &Entry<U>, action: Action, out: &mut Outbox<C>) {
        match action {
            // The 100 lies in the place of the last response from the beginning, so that a copy of the INVITE that
            // comes before the 200 ms are over is answered as well.
            Action::Send | Action::SendAgain | Action::SendTrying if !entry.response.is_empty() => {
                out.push_back(Event::Send { path: entry.path, bytes: entry.response.clone(), client: None });
            }
            _ => {}
        }
    }

    /// Puts a transaction into its place in the order of deadlines, or out of the table when it is over.
    fn file(&mut self, key: Key) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let deadline = entry.deadline();
        if deadline != entry.filed {
            if let Some(old) = entry.filed {
                self.deadlines.remove(&(old, key));
                self.dispensable.remove(&(old, key));
            }
            entry.filed = deadline;
            self.deadlines.extend(deadline.map(|at| (at, key)));
            self.dispensable.extend(deadline.filter(|_| entry.is_dispensable()).map(|at| (at, key)));
        }
        if entry.is_over()
            && let Some(host) = self.entries.remove(&key).and_then(|e| e.stranger)
            && let btree_map::Entry::Occupied(mut count) = self.strangers.entry(host)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k8_a_transaction_is_small() {
        // Beside its response, which is one allocation of the response's size.
        assert!(size_of::<(Key, Entry<Option<crate::ids::CallId>>)>() <= 256);
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn key(n: u32) -> Key {
        Key::numbered(n)
    }

    fn servers() -> Servers<u32> {
        Servers::new(Timers::default(), 4)
    }

    fn open(servers: &mut Servers<u32>, now: u64, n: u32, stranger: Option<u8>) -> bool {
        let path = Path::Datagram("192.0.2.1:5060".parse().unwrap());
        let stranger = stranger.map(|n| HostPrefix::of([192, 0, 2, n].into()));
        servers.open(at(now), key(n), path, None, stranger, n).is_ok()
    }

    fn answer(servers: &mut Servers<u32>, now: u64, n: u32) {
        let mut out = Outbox::<u32>::new();
        servers.respond(at(now), &key(n), Status::OK, Bytes::from_static(b"200"), &mut out);
    }

    #[test]
    fn k8_where_all_places_are_taken_the_request_of_a_dialog_that_was_answered_first_gives_way() {
        let mut servers = servers();
        for n in 0..4 {
            assert!(open(&mut servers, n.into(), n, None));
        }
        assert!(servers.is_full() && servers.is_crowded() && !open(&mut servers, 5, 9, None));
        for n in [2, 1, 0] {
            answer(&mut servers, 8 - u64::from(n), n);
        }
        assert!(!servers.is_full() && !servers.is_crowded());
        let left =
            |servers: &Servers<u32>| (0..9).filter(|&n| servers.user(&key(n)).is_some()).collect::<Vec<_>>();
        assert!(open(&mut servers, 9, 4, None));
        assert_eq!(left(&servers), [0, 1, 3, 4]);
        assert!(open(&mut servers, 9, 5, None) && open(&mut servers, 9, 6, None));
        assert_eq!(left(&servers), [3, 4, 5, 6]);
        assert!(servers.is_full() && !open(&mut servers, 9, 7, None));
        // Every transaction that is over is forgotten everywhere.
        (3..7).for_each(|n| answer(&mut servers, 10, n));
        servers.handle_timeout(at(42), &mut Outbox::<u32>::new());
        assert!(servers.is_empty() && servers.dispensable.is_empty() && servers.deadlines.is_empty());
    }

    #[test]
    fn k8_what_strangers_have_asked_keeps_its_place_after_the_answer_too() {
        let mut servers = servers();
        for n in 0..3 {
            assert!(open(&mut servers, 0, n, Some(n as u8)));
            answer(&mut servers, 0, n);
        }
        assert!(servers.is_crowded(), "a copy would be a new request, and would cost as much again");
        assert!(open(&mut servers, 1, 3, None) && !open(&mut servers, 1, 4, None));
        assert_eq!(servers.user(&key(0)), Some(0));
    }
}
