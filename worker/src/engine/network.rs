//! The network of a machine that is recorded: whoever hosts the engine fetches what the guest asks for.

use super::fetched::{ANNOTATIONS_MAX, TEXT_BYTES_MAX, text_bytes};
use super::live::Live;
use super::{Engine, Subject, words};
use crate::protocol::{FetchNews, FetchStage, Message};
use reprise_core::machine::Machine;
use reprise_core::output::{Output, OutputKind};
use reprise_host::network::tls::Authority;
use reprise_host::network::web::{Fetch, FetchId, WebNetwork};
use reprise_recorder::entry::EntryLog;
use reprise_recorder::record::RecordSession;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Frames that wait for room in the guest's card; more are lost, as on any network, and TCP sends them again.
const FRAMES_MAX: usize = 1024;

/// The network, and what is fetched.
pub(crate) struct Network {
    web: WebNetwork,
    /// How many bytes of each fetch under way have come.
    running: BTreeMap<FetchId, u64>,
    /// What nobody has been told.
    news: VecDeque<FetchNews>,
    /// What is noted in the trace: all of it, up to a limit.
    all_news: Vec<FetchNews>,
    /// Fetches that are noted there, bytes of what they asked for, and those of them that are under way.
    noted_count: usize,
    noted_bytes: usize,
    noted: BTreeSet<FetchId>,
}

/// Where a machine stands.
#[derive(Clone, Copy)]
struct Place {
    icount: u64,
    nanoseconds: u64,
}

impl Place {
    fn of(machine: &Machine) -> Self {
        Self {
            icount: machine.icount().0,
            nanoseconds: words::nanoseconds(machine.time()),
        }
    }
}

impl Network {
    /// A network with the authority that the guest trusts. The seed is for sequence numbers.
    pub(crate) fn new(seed: &[u8; 32], authority: Option<Authority>) -> Self {
        let hash = reprise_core::image::ImageHash::of(
            &[b"reprise page network ".as_slice(), seed].concat(),
        );
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash.0[..8]);
        Self {
            web: WebNetwork::new(u64::from_le_bytes(bytes), authority),
            running: BTreeMap::new(),
            news: VecDeque::new(),
            all_news: Vec::new(),
            noted_count: 0,
            noted_bytes: 0,
            noted: BTreeSet::new(),
        }
    }

    /// Numbers fetches after one of an earlier machine, so that nobody takes one for the other.
    pub(crate) fn number_after(&mut self, last: FetchId) {
        self.web.number_after(last);
    }

    /// Whether the guest has connections.
    pub(crate) fn is_busy(&self) -> bool {
        self.web.is_busy()
    }

    /// Hands over what the guest has sent and what has come for it; how long it may then rest.
    pub(crate) fn pass<L: EntryLog>(
        &mut self,
        session: &mut RecordSession<L>,
        outputs: Vec<Output>,
        now: Duration,
    ) -> Option<Duration> {
        for output in outputs {
            if let OutputKind::Frame(frame) = output.kind {
                self.web.take_frame(frame);
            }
        }
        self.web.poll(now);
        while let Some(frame) = self.web.next_frame() {
            if session.waiting_frame_count() < FRAMES_MAX {
                session.feed_frame(frame);
            }
        }
        self.web.rest(now)
    }

    /// What has become of fetches.
    pub(crate) fn take_news(&mut self) -> impl Iterator<Item = Message> + '_ {
        self.news.drain(..).map(Message::Fetch)
    }

    fn tell(&mut self, FetchId(number): FetchId, place: Place, stage: FetchStage) {
        let news = FetchNews {
            number,
            icount: place.icount,
            nanoseconds: place.nanoseconds,
            stage,
        };
        // Of a fetch all is noted or nothing, so that none seems to be under way for ever. Each has three news at the most.
        let is_noted = match news.stage {
            FetchStage::Begun { .. } => {
                let bytes = self.noted_bytes + text_bytes(&news);
                let has_room =
                    self.noted_count < ANNOTATIONS_MAX / 3 && bytes <= TEXT_BYTES_MAX / 2;
                if has_room {
                    self.noted_count += 1;
                    self.noted_bytes = bytes;
                    self.noted.insert(FetchId(number));
                }
                has_room
            }
            FetchStage::Answered { .. } => self.noted.contains(&FetchId(number)),
            FetchStage::Ended { .. } => self.noted.remove(&FetchId(number)),
        };
        if is_noted {
            self.all_news.push(news.clone());
        }
        self.news.push_back(news);
    }

    /// All that was fetched, in the order of the machine's positions.
    pub(crate) fn all_news(&self) -> &[FetchNews] {
        &self.all_news
    }

    fn next_fetch(&mut self, place: Place) -> Option<Fetch> {
        let fetch = self.web.next_fetch()?;
        self.running.insert(fetch.id, 0);
        let stage = FetchStage::Begun {
            method: fetch.method.clone(),
            url: fetch.url.clone(),
        };
        self.tell(fetch.id, place, stage);
        Some(fetch)
    }

    fn ended(&mut self, id: FetchId, place: Place, failure: Option<String>) {
        if let Some(byte_len) = self.running.remove(&id) {
            self.tell(id, place, FetchStage::Ended { byte_len, failure });
        }
    }

    fn next_given_up(&mut self, place: Place) -> Option<FetchId> {
        let id = self.web.given_up()?;
        self.ended(id, place, Some("the guest gave it up".to_owned()));
        Some(id)
    }
}

impl Engine {
    /// The next thing that the guest of a live machine wants to have fetched, once each: without the person's cookies, following
    /// redirects. The answer goes to [`Engine::fetch_head`], [`Engine::fetch_body`] and [`Engine::fetch_end`], or to
    /// [`Engine::fetch_failed`].
    pub fn take_fetch(&mut self) -> Option<Fetch> {
        let (network, place) = self.network()?;
        network.next_fetch(place)
    }

    /// The next fetch that nobody wants any more.
    pub fn take_abort(&mut self) -> Option<FetchId> {
        if let Some(id) = self.aborts.pop_front() {
            return Some(id);
        }
        let (network, place) = self.network()?;
        network.next_given_up(place)
    }

    /// An answer begins. Whether anybody wants it.
    pub fn fetch_head(
        &mut self,
        id: FetchId,
        status: u16,
        reason: &str,
        headers: &[(String, String)],
    ) -> bool {
        self.network().is_some_and(|(network, place)| {
            let is_wanted = network.web.head(id, status, reason, headers);
            if is_wanted {
                network.tell(id, place, FetchStage::Answered { status });
            }
            is_wanted
        })
    }

    /// How many bytes of an answer are wanted now; it may be more after a turn.
    pub fn fetch_room(&mut self, id: FetchId) -> usize {
        let network = self.network();
        network.map_or(0, |(network, _)| network.web.room(id))
    }

    /// The next bytes of an answer: some that were wanted, and not much more. Whether anybody wants them.
    pub fn fetch_body(&mut self, id: FetchId, bytes: &[u8]) -> bool {
        self.network().is_some_and(|(network, _)| {
            if let Some(byte_len) = network.running.get_mut(&id) {
                *byte_len += bytes.len() as u64;
            }
            network.web.body(id, bytes)
        })
    }

    /// An answer is whole.
    pub fn fetch_end(&mut self, id: FetchId) {
        if let Some((network, place)) = self.network() {
            network.web.end(id);
            network.ended(id, place, None);
        }
    }

    /// A fetch failed, for a reason that the browser gives in a sentence.
    pub fn fetch_failed(&mut self, id: FetchId, sentence: &str) {
        if let Some((network, place)) = self.network() {
            network.web.failed(id, sentence);
            network.ended(id, place, Some(sentence.to_owned()));
        }
    }

    fn network(&mut self) -> Option<(&mut Network, Place)> {
        let Subject::Live(live) = &mut self.subject else {
            return None;
        };
        let place = Place::of(live.machine());
        Some((live.network()?, place))
    }

    /// Ends what the guest of a machine that is left fetches.
    pub(super) fn leave_network(&mut self) {
        if let Some((network, _)) = self.network() {
            let last = network.web.last();
            let running: Vec<FetchId> = network.running.keys().copied().collect();
            self.aborts.extend(running);
            self.last_fetch = last;
        }
    }
}

impl Live {
    /// Nobody is there any more who would take what comes.
    pub(super) fn close_network(&mut self, out: &mut VecDeque<Message>) {
        let place = Place::of(self.machine());
        if let Some(network) = self.network() {
            network.web.close();
            let running: Vec<FetchId> = network.running.keys().copied().collect();
            for id in running {
                network.ended(id, place, Some("the machine has stopped".to_owned()));
            }
            out.extend(network.take_news());
        }
    }
}
