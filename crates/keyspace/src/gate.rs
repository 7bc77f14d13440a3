//! The gate: how one command has the whole keyspace to itself.
//!
//! Whatever touches the keyspace is a visit. It enters the gate before it locks its first shard, and leaves after the last. A brief
//! visit takes microseconds: a batch, a slice of a walk. A lasting visit takes as long as its command does: a union of large sets, a
//! script, a snapshot's walker. The closer has the keyspace alone once no visit is inside.
//!
//! ```text
//!            a closer queues             no lasting visit is inside
//!    open ────────────────────▶ claimed ────────────────────────────▶ shut ──▶ closed
//!     ▲   all may enter            │ ▲   brief visits may enter        │ ▲         │
//!     └────────────────────────────┘ └─────────────────────────────────┘ └─────────┘
//!      the queue holds no closer       brief visits are not out in time   nobody else is inside
//! ```
//!
//! So a long command never makes the others wait for a closer: while it is inside, the gate is not shut. Brief visits go on; only
//! further lasting visits queue behind the closer, which is why its turn comes. Once the gate is shut, it opens again after a bounded
//! time: with the closer's work done, or without, where a brief visit takes longer than that (its thread was interrupted).
//!
//! Nobody starves. Whoever finds that it may not go on takes a [`Place`] in a queue, in order of arrival. The closer at its front waits
//! for visits that are inside, of which there are finitely many, since no lasting one enters before it. A visit with a place
//! goes on as soon as no closer is before it and the gate is not shut.
//!
//! Entering writes a word of the core's own and reads the state; closing writes the state and reads all words. Both sides write before
//! they read, in one total order (sequential consistency), so at least one of the two sees the other (Dekker's algorithm).

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::sync::{AtomicU8, AtomicU32, Holder, Mutex, Ordering, order_write_before_read, spin};

/// All may enter.
const OPEN: u8 = 0;
/// A closer is in the queue: no lasting visit enters, unless its place is before the closer's.
const CLAIMED: u8 = 1;
/// Nobody enters.
const SHUT: u8 = 2;

/// How often a closer looks whether the brief visits are out before it opens the gate again: some tens of microseconds.
const SHUT_TURNS_MAX: u32 = 2000;

/// See the module.
pub struct Gate {
    state: AtomicU8,
    /// The visits inside, by core.
    inside: Box<[Inside]>,
    /// The places, and the changes of `state`. A mutex: touched where the gate is being closed, and by nobody else. Shared with the
    /// places, each of which takes itself out.
    queue: Arc<Mutex<Queue>>,
}

/// The visits of one core, on a cache line of their own.
#[repr(align(128))]
struct Inside {
    /// 1 during a brief visit: a core makes one at a time, and nobody else writes the word.
    brief: AtomicU32,
    /// Lasting visits: any number, since they may be suspended while the core serves others.
    lasting: AtomicU32,
}

/// How long a visit may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Bounded time, some tens of microseconds, on the core's own thread; one at a time for each core.
    Brief,
    /// Any time.
    Lasting,
}

/// Being inside: the gate cannot be closed until it is dropped.
pub struct Entered<'g> {
    gate: &'g Gate,
    core: usize,
    visit: Visit,
    /// A visit stays on its thread: the words and the counts of its core are written without a lock.
    stays: PhantomData<*const ()>,
}

/// Having the keyspace alone, until it is dropped.
pub struct Closed<'g> {
    gate: &'g Gate,
}

/// A place in the queue of a gate, given up when it is dropped.
pub struct Place {
    number: u64,
    wants: Wants,
    queue: Arc<Mutex<Queue>>,
}

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Enter(Visit),
    Close,
}

/// The places, by number, in order of arrival.
#[derive(Default)]
struct Queue {
    is_shut: bool,
    places: BTreeMap<u64, Waiting>,
    /// How many of them are closers'.
    closers: usize,
    last_number: u64,
}

struct Waiting {
    wants: Wants,
    /// There once the task waits.
    waker: Option<Waker>,
    /// The gate was shut for it and had to be opened again: its task lets others run before the next try.
    is_retry: bool,
}

impl Gate {
    pub(crate) fn new(cores: usize) -> Gate {
        let inside = || Inside { brief: AtomicU32::new(0), lasting: AtomicU32::new(0) };
        Gate {
            state: AtomicU8::new(OPEN),
            inside: (0..cores).map(|_| inside()).collect(),
            queue: Arc::new(Mutex::new(Queue::default())),
        }
    }

    /// Enters for a visit. Where it may not enter now, `place` holds its place afterwards: wait with [`Gate::poll_turn`] and try again
    /// with the same place, or drop it.
    #[inline]
    pub fn enter(&self, core: usize, visit: Visit, place: &mut Option<Place>) -> Option<Entered<'_>> {
        let inside = &self.inside[core];
        let (before, state_max) = match visit {
            Visit::Brief => (inside.brief.swap(1, Ordering::SeqCst), CLAIMED),
            Visit::Lasting => (inside.lasting.fetch_add(1, Ordering::SeqCst), OPEN),
        };
        debug_assert!(visit == Visit::Lasting || before == 0, "a core makes one brief visit at a time");
        order_write_before_read();
        let entered = Entered { gate: self, core, visit, stays: PhantomData };
        if self.state.load(Ordering::SeqCst) <= state_max && place.is_none() {
            return Some(entered);
        }
        self.enter_by_place(entered, place)
    }

    #[cold]
    fn enter_by_place<'g>(&'g self, entered: Entered<'g>, place: &mut Option<Place>) -> Option<Entered<'g>> {
        let wants = Wants::Enter(entered.visit);
        // A closer that enters instead gives its place up, so that the lasting visits behind it are woken.
        place.take_if(|place| place.wants == Wants::Close);
        let mut queue = self.queue.lock();
        let number = self.number_of(place, wants, &mut queue);
        // The last closer may have given its place up.
        self.publish(&queue);
        if queue.may_enter(entered.visit, number) {
            drop(queue);
            *place = None;
            return Some(entered);
        }
        if number.is_none() {
            *place = Some(self.join(&mut queue, wants));
        }
        // Leaving may have to lock the queue.
        drop(queue);
        drop(entered);
        None
    }

    /// Closes the gate, if all others are out. If not, `place` holds the closer's place afterwards, as for [`Gate::enter`].
    ///
    /// The caller is not inside.
    pub fn close(&self, place: &mut Option<Place>) -> Option<Closed<'_>> {
        let mut queue = self.queue.lock();
        let number = self.number_of(place, Wants::Close, &mut queue);
        if !queue.may_close(number) {
            if number.is_none() {
                *place = Some(self.join(&mut queue, Wants::Close));
            }
            return None;
        }
        // From here on no lasting visit enters.
        self.state.store(CLAIMED, Ordering::SeqCst);
        order_write_before_read();
        if self.has_lasting_visits() {
            if number.is_none() {
                *place = Some(self.join(&mut queue, Wants::Close));
            }
            return None;
        }
        queue.is_shut = true;
        self.state.store(SHUT, Ordering::SeqCst);
        drop(queue);
        order_write_before_read();
        let closed = Closed { gate: self };
        let mut turns = 0;
        for inside in &self.inside {
            while inside.brief.load(Ordering::SeqCst) != 0 {
                if !spin(&mut turns, SHUT_TURNS_MAX) {
                    let mut queue = self.queue.lock();
                    if number.is_none() {
                        *place = Some(self.join(&mut queue, Wants::Close));
                    }
                    let number = place.as_ref().map(|place| place.number);
                    number
                        .and_then(|number| queue.places.get_mut(&number))
                        .into_iter()
                        .for_each(|it| it.is_retry = true);
                    drop(queue);
                    drop(closed);
                    return None;
                }
            }
        }
        *place = None;
        Some(closed)
    }

    /// Returns the number of a place, and changes what the place is for: a visit that failed to lock its shards may become a closer.
    fn number_of(&self, place: &mut Option<Place>, wants: Wants, queue: &mut Queue) -> Option<u64> {
        let place = place.as_mut()?;
        if place.wants != wants {
            queue.change(place.number, wants);
            place.wants = wants;
            self.publish(queue);
        }
        Some(place.number)
    }

    fn join(&self, queue: &mut Queue, wants: Wants) -> Place {
        let number = queue.join(wants);
        self.publish(queue);
        Place { number, wants, queue: self.queue.clone() }
    }

    /// Makes the state what the queue says.
    fn publish(&self, queue: &Queue) {
        let state = match () {
            () if queue.is_shut => SHUT,
            () if queue.closers > 0 => CLAIMED,
            () => OPEN,
        };
        self.state.store(state, Ordering::SeqCst);
    }

    fn has_lasting_visits(&self) -> bool {
        self.inside.iter().any(|inside| inside.lasting.load(Ordering::SeqCst) != 0)
    }

    /// Ready when it is worth trying again with a place; else the task is woken then.
    pub fn poll_turn(&self, place: Option<&Place>, context: &mut Context<'_>) -> Poll<()> {
        let Some(place) = place else { return Poll::Ready(()) };
        let mut queue = self.queue.lock();
        let is_turn = match place.wants {
            Wants::Enter(visit) => queue.may_enter(visit, Some(place.number)),
            Wants::Close => queue.may_close(Some(place.number)) && !self.has_lasting_visits(),
        };
        let Some(waiting) = queue.places.get_mut(&place.number) else { return Poll::Ready(()) };
        if is_turn {
            if !std::mem::take(&mut waiting.is_retry) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// A lasting visit has left while the gate is claimed: wakes the closer that waits for the last of them.
    #[cold]
    fn lasting_visit_left(&self) {
        let waker = {
            let mut queue = self.queue.lock();
            self.publish(&queue);
            if self.has_lasting_visits() { None } else { queue.take_first_closer() }
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Queue {
    /// Whether a visit may enter; without a number it has no place.
    fn may_enter(&self, visit: Visit, number: Option<u64>) -> bool {
        let is_behind_closer = || {
            let mut before = self.places.range(..number.unwrap_or(u64::MAX));
            self.closers > 0 && before.any(|(_, waiting)| waiting.wants == Wants::Close)
        };
        !self.is_shut && (visit == Visit::Brief || !is_behind_closer())
    }

    /// Whether a closer is at the front; without a number, whether nobody waits.
    fn may_close(&self, number: Option<u64>) -> bool {
        !self.is_shut && self.places.first_key_value().map(|(&first, _)| first) == number
    }

    fn join(&mut self, wants: Wants) -> u64 {
        self.last_number += 1;
        self.closers += usize::from(wants == Wants::Close);
        self.places.insert(self.last_number, Waiting { wants, waker: None, is_retry: false });
        self.last_number
    }

    fn change(&mut self, number: u64, wants: Wants) {
        let waiting = self.places.get_mut(&number).expect("a place is in the queue while it lives");
        let is_close = |wants| usize::from(wants == Wants::Close);
        self.closers = self.closers - is_close(waiting.wants) + is_close(wants);
        waiting.wants = wants;
    }

    /// The waker of the closer at the front.
    fn take_first_closer(&mut self) -> Option<Waker> {
        let mut first = self.places.first_entry()?;
        if first.get().wants == Wants::Close { first.get_mut().waker.take() } else { None }
    }

    /// The wakers of all whose turn it is: those before the first closer, it where it is at the front, and the brief visits behind it.
    fn take_ready(&mut self) -> Vec<Waker> {
        if self.is_shut {
            return Vec::new();
        }
        let (mut is_front, mut is_behind_closer) = (true, false);
        let mut ready = Vec::new();
        for waiting in self.places.values_mut() {
            let is_ready = match waiting.wants {
                Wants::Close => is_front,
                Wants::Enter(Visit::Brief) => true,
                Wants::Enter(Visit::Lasting) => !is_behind_closer,
            };
            if is_ready {
                ready.extend(waiting.waker.take());
            }
            is_front = false;
            is_behind_closer |= waiting.wants == Wants::Close;
        }
        ready
    }
}

impl Place {
    fn leave(&self) -> Vec<Waker> {
        let mut queue = self.queue.lock();
        queue.places.remove(&self.number);
        if self.wants == Wants::Close {
            queue.closers -= 1;
            return queue.take_ready();
        }
        if queue.is_shut { Vec::new() } else { queue.take_first_closer().into_iter().collect() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave().into_iter().for_each(Waker::wake);
    }
}

impl Entered<'_> {
    /// The core that is inside.
    #[inline]
    pub(crate) fn core(&self) -> usize {
        self.core
    }

    /// The number under which it holds locks. Lasting visits of one core share theirs: it tells them from all others.
    #[inline]
    pub(crate) fn holder(&self) -> Holder {
        2 * self.core as Holder + if self.visit == Visit::Brief { 1 } else { 2 }
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        let inside = &self.gate.inside[self.core];
        match self.visit {
            Visit::Brief => inside.brief.store(0, Ordering::Release),
            Visit::Lasting => {
                inside.lasting.fetch_sub(1, Ordering::SeqCst);
                order_write_before_read();
                if self.gate.state.load(Ordering::SeqCst) != OPEN {
                    self.gate.lasting_visit_left();
                }
            }
        }
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let ready = {
            let mut queue = self.gate.queue.lock();
            queue.is_shut = false;
            self.gate.publish(&queue);
            queue.take_ready()
        };
        ready.into_iter().for_each(Waker::wake);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{sync::atomic::AtomicBool, task::Wake};

    use proptest::prelude::*;

    use super::*;

    fn is_turn(gate: &Gate, place: &Option<Place>) -> bool {
        gate.poll_turn(place.as_ref(), &mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn closers_queue_in_order_of_arrival() {
        let gate = Gate::new(1);
        let (mut first, mut second, mut third, mut fourth) = (None, None, None, None);
        let closed = gate.close(&mut None).expect("nobody is there");
        for place in [&mut first, &mut second, &mut third] {
            assert!(gate.close(place).is_none() && place.is_some());
        }
        assert!(!is_turn(&gate, &first));
        drop(closed);
        assert!(is_turn(&gate, &first) && !is_turn(&gate, &second));
        assert!(gate.enter(0, Visit::Brief, &mut None).is_some(), "brief visits enter meanwhile");
        assert!(gate.close(&mut fourth).is_none(), "nobody passes the queue");
        assert!(gate.close(&mut second).is_none());
        let closed = gate.close(&mut first).expect("it is at the front");
        assert!(first.is_none() && !is_turn(&gate, &second));
        drop(closed);
        // A place that is given up is no obstacle.
        drop(second);
        assert!(is_turn(&gate, &third) && !is_turn(&gate, &fourth));
        drop(fourth);
        assert!(gate.close(&mut third).is_some());
        assert!(gate.close(&mut None).is_some());
    }

    #[test]
    fn the_gate_is_not_shut_while_a_lasting_visit_is_inside() {
        let gate = Gate::new(2);
        let long = gate.enter(0, Visit::Lasting, &mut None).expect("it is open");
        let (mut closer, mut later) = (None, None);
        assert!(gate.close(&mut closer).is_none() && !is_turn(&gate, &closer));
        assert!(gate.enter(0, Visit::Brief, &mut None).is_some(), "brief visits go on, on the same core");
        assert!(gate.enter(1, Visit::Brief, &mut None).is_some(), "and on others");
        assert!(gate.enter(1, Visit::Lasting, &mut later).is_none(), "a lasting visit queues behind the closer");
        drop(long);
        assert!(is_turn(&gate, &closer) && !is_turn(&gate, &later));
        drop(gate.close(&mut closer).expect("nobody is inside"));
        assert!(is_turn(&gate, &later));
        assert!(gate.enter(1, Visit::Lasting, &mut later).is_some());
        assert!(gate.enter(0, Visit::Lasting, &mut None).is_some(), "the gate is open for all");
    }

    #[test]
    fn a_brief_visit_that_does_not_end_makes_the_closer_try_again() {
        let gate = Gate::new(2);
        let brief = gate.enter(1, Visit::Brief, &mut None).expect("it is open");
        let mut closer = None;
        assert!(gate.close(&mut closer).is_none());
        assert!(gate.enter(0, Visit::Brief, &mut None).is_some(), "the gate was opened again");
        assert!(!is_turn(&gate, &closer), "its task lets others run first");
        assert!(is_turn(&gate, &closer));
        drop(brief);
        assert!(gate.close(&mut closer).is_some());
    }

    #[test]
    fn a_closer_that_enters_instead_wakes_the_visits_behind_it() {
        let gate = Gate::new(2);
        let long = gate.enter(0, Visit::Lasting, &mut None).expect("the gate is open");
        let (mut closer, mut visitor) = (None, None);
        assert!(gate.close(&mut closer).is_none());
        assert!(gate.enter(1, Visit::Lasting, &mut visitor).is_none());
        let woken = Arc::new(Flag::default());
        let waker = Waker::from(woken.clone());
        assert!(gate.poll_turn(visitor.as_ref(), &mut Context::from_waker(&waker)).is_pending());
        assert!(gate.enter(0, Visit::Brief, &mut closer).is_some() && closer.is_none());
        assert!(woken.0.load(Ordering::SeqCst), "the wake-up was lost");
        assert!(gate.enter(1, Visit::Lasting, &mut visitor).is_some());
        drop(long);
        assert!(gate.close(&mut None).is_some());
    }

    const ACTORS: usize = 6;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// An actor that is outside tries to get in. If it waits already, it tries again, perhaps for another purpose.
        Try(usize, Wants),
        /// An actor leaves, or gives its place up.
        Leave(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let wants = prop_oneof![
            3 => Just(Wants::Enter(Visit::Brief)),
            3 => Just(Wants::Enter(Visit::Lasting)),
            2 => Just(Wants::Close),
        ];
        prop_oneof![
            3 => (0..ACTORS, wants).prop_map(|(actor, wants)| Step::Try(actor, wants)),
            2 => (0..ACTORS).prop_map(Step::Leave),
        ]
    }

    enum Inside<'g> {
        Visiting { _entered: Entered<'g> },
        Closing { _closed: Closed<'g> },
    }

    #[derive(Default)]
    struct Actor<'g> {
        wants: Option<Wants>,
        place: Option<Place>,
        inside: Option<Inside<'g>>,
        woken: Arc<Flag>,
    }

    /// Says whether a task was woken.
    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// Runs an actor's task if it was woken: it polls its place, and tries again when its turn has come.
    fn run_task<'g>(gate: &'g Gate, actors: &mut [Actor<'g>], index: usize) {
        if actors[index].woken.0.swap(false, Ordering::SeqCst) && poll(gate, &actors[index]) {
            attempt(gate, actors, index);
        }
    }

    /// Polls an actor's place with its own waker.
    fn poll(gate: &Gate, actor: &Actor<'_>) -> bool {
        let waker = Waker::from(actor.woken.clone());
        gate.poll_turn(actor.place.as_ref(), &mut Context::from_waker(&waker)).is_ready()
    }

    /// An actor for each core, since a core makes one brief visit at a time.
    fn attempt<'g>(gate: &'g Gate, actors: &mut [Actor<'g>], index: usize) {
        let actor = &mut actors[index];
        let Some(wants) = actor.wants.filter(|_| actor.inside.is_none()) else { return };
        let before = actor.place.as_ref().map_or(u64::MAX, |place| place.number);
        actor.inside = match wants {
            Wants::Enter(visit) => {
                gate.enter(index, visit, &mut actor.place).map(|entered| Inside::Visiting { _entered: entered })
            }
            Wants::Close => gate.close(&mut actor.place).map(|closed| Inside::Closing { _closed: closed }),
        };
        if actor.inside.is_none() {
            assert!(actor.place.is_some(), "it has a place");
            if poll(gate, actor) {
                actor.woken.wake_by_ref();
            }
            return;
        }
        assert!(actor.place.is_none(), "it has given its place up");
        let others = || actors.iter().enumerate().filter(|&(other, _)| other != index).map(|(_, actor)| actor);
        for other in others() {
            let excludes = |inside: &Inside<'_>| wants == Wants::Close || matches!(inside, Inside::Closing { .. });
            assert!(!other.inside.as_ref().is_some_and(excludes), "a closer is alone");
            let Some(waiting) = &other.place else { continue };
            let is_passed = match wants {
                Wants::Enter(Visit::Brief) => false,
                Wants::Enter(Visit::Lasting) => waiting.wants == Wants::Close && waiting.number < before,
                Wants::Close => waiting.number < before,
            };
            assert!(!is_passed, "{wants:?} has passed {:?} in the queue", waiting.wants);
        }
    }

    proptest! {
        /// A closer is alone inside, no place is passed by one behind it that excludes it, and every actor is woken and gets in once the
        /// others leave.
        #[test]
        fn is_exclusive_and_fair(steps in prop::collection::vec(step(), 1..60)) {
            let gate = Gate::new(ACTORS);
            let mut actors: Vec<Actor<'_>> = (0..ACTORS).map(|_| Actor::default()).collect();
            for step in steps {
                match step {
                    Step::Try(actor, wants) => {
                        if actors[actor].inside.is_none() {
                            actors[actor].wants = Some(wants);
                        }
                        attempt(&gate, &mut actors, actor);
                    }
                    Step::Leave(actor) => actors[actor] = Actor::default(),
                }
            }
            for _ in 0..=4 * ACTORS {
                for index in 0..ACTORS {
                    if actors[index].inside.is_some() {
                        actors[index] = Actor::default();
                    }
                    run_task(&gate, &mut actors, index);
                }
            }
            prop_assert!(actors.iter().all(|actor| actor.wants.is_none()), "an actor waits for ever");
            prop_assert!(gate.close(&mut None).is_some());
        }
    }
}
