//! The gate: how one command has the whole keyspace to itself.
//!
//! Everything that reads or writes the keyspace is a visit. It enters the gate before it locks its first shard, and leaves after it has
//! unlocked the last. A brief visit takes microseconds: a batch, a slice of a walk. A lasting visit takes as long as its command: a union
//! of large sets, a script, the walk of a snapshot. A closer has the keyspace to itself once no visit is inside.
//!
//! ```text
//!  state     may enter                  next
//!  open      every visit                a closer queues ▶ claimed
//!  claimed   brief visits, and lasting  no closer is in the queue ▶ open
//!            ones before the closer     no lasting visit is inside ▶ shut
//!  shut      no visit                   brief visits have not left in time ▶ claimed
//!                                       no visit is inside: the closer has the keyspace to itself; it is done ▶ open, claimed
//! ```
//!
//! While a long command is inside, a closer does not make the other cores wait: the gate is not shut yet, and brief visits still enter.
//! Only further lasting visits queue behind the closer, so that its turn comes. When the gate is shut, the closer waits for the brief visits
//! that are inside, for a bounded time. If one takes longer, the gate opens again, and the closer tries again once that visit has ended, with
//! more patience.
//!
//! Nobody starves. A visit or a closer that has to wait takes a [`Place`] in a queue, in order of arrival. The closer at the front waits
//! only for visits that are inside. These are finitely many, since no further lasting visit enters before it. A brief visit in the queue
//! enters when the gate is not shut, and a lasting one when, besides, no closer is before it.
//!
//! A visit writes a word of its core, then reads the state. A closer writes the state, then reads the words of all cores. All of this is in
//! one total order (sequential consistency), so at least one of the two sees the other (Dekker's algorithm).

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::sync::{AtomicU8, AtomicU32, Holder, Mutex, Ordering, order_write_before_read, spin};

/// Every visit may enter.
const OPEN: u8 = 0;
/// A closer is in the queue. A lasting visit enters only if its place is before the closer's.
const CLAIMED: u8 = 1;
/// No visit may enter.
const SHUT: u8 = 2;

/// How often a closer checks whether the brief visits have left before it opens the gate again: at first for some tens of microseconds,
/// and twice as often at each further try, up to a millisecond or two. No brief visit takes longer, unless its thread is interrupted.
const SHUT_TURNS_FIRST: u32 = 2000;
const SHUT_TURNS_MAX: u32 = SHUT_TURNS_FIRST << 5;

/// The entrance of the keyspace. See the module.
pub struct Gate {
    /// OPEN, CLAIMED or SHUT. It is written under the lock of the queue, and read without.
    state: AtomicU8,
    /// The visits that are inside, by core.
    inside: Box<[Inside]>,
    /// The number of bits that a core's index takes.
    core_bits: u32,
    /// The places, and the right to write `state`. A mutex is quick enough, since only closers, and visits that meet one, lock it. It is
    /// shared with the places, each of which removes itself when it is dropped.
    queue: Arc<Mutex<Queue>>,
}

/// The visits of one core, on a cache line of their own.
#[repr(align(128))]
struct Inside {
    /// The brief visits that have begun and those that have ended: odd during one. A core makes one at a time, and no other core writes the
    /// word.
    brief: AtomicU32,
    /// The number of lasting visits. There may be several, since one can be suspended while the core does other work.
    lasting: AtomicU32,
    /// The lasting visits so far, from which each gets a number. Only the core's thread reads and writes it.
    numbered: AtomicU32,
}

/// How long a visit may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// A bounded time, of some tens of microseconds. A core makes one such visit at a time.
    Brief,
    /// Any time. A core may be in several such visits, which take turns on its thread.
    Lasting,
}

/// A visit that is inside. The gate cannot be closed until it is dropped.
pub struct Entered<'g> {
    gate: &'g Gate,
    core: usize,
    visit: Visit,
    holder: Holder,
    /// Keeps the visit on the thread of its core, which alone writes the core's word and its counts (see `sizes.rs`).
    stays: PhantomData<*const ()>,
}

/// A closer that has the keyspace to itself, until it is dropped.
pub struct Closed<'g> {
    gate: &'g Gate,
}

/// A place in the queue of a gate. Dropping it gives it up.
pub struct Place {
    number: u64,
    wants: Wants,
    queue: Arc<Mutex<Queue>>,
}

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// To enter for a visit.
    Enter(Visit),
    /// To close the gate.
    Close,
}

/// The queue of a gate.
#[derive(Default)]
struct Queue {
    is_shut: bool,
    /// The places by number, which is the order of arrival.
    places: BTreeMap<u64, Waiting>,
    /// The number of places that are closers'.
    closers: usize,
    last_number: u64,
}

/// A place, as the queue knows it.
struct Waiting {
    wants: Wants,
    /// None until the task waits.
    waker: Option<Waker>,
    /// How often the gate was shut for this closer, but had to be opened again.
    failed_tries: u32,
    /// The brief visit that did not end in time at the last of these: its core, and the core's word. There is no further try before it ends.
    waits_for: Option<(usize, u32)>,
}

impl Gate {
    /// Creates an open gate.
    pub(crate) fn new(cores: usize) -> Gate {
        let inside = || Inside { brief: AtomicU32::new(0), lasting: AtomicU32::new(0), numbered: AtomicU32::new(0) };
        Gate {
            state: AtomicU8::new(OPEN),
            inside: (0..cores).map(|_| inside()).collect(),
            core_bits: cores.next_power_of_two().ilog2(),
            queue: Arc::new(Mutex::new(Queue::default())),
        }
    }

    /// Enters for a visit of a core. If it may not enter now, the result is `None`, and `place` holds its place in the queue: the caller
    /// waits with [`Gate::poll_turn`] and tries again with the same place, or drops it.
    ///
    /// Each core has one thread, which alone enters for it. That thread is not in a brief visit when it begins another.
    #[inline]
    pub fn enter(&self, core: usize, visit: Visit, place: &mut Option<Place>) -> Option<Entered<'_>> {
        let inside = &self.inside[core];
        let (before, state_max, holder) = match visit {
            Visit::Brief => (inside.brief.fetch_add(1, Ordering::SeqCst), CLAIMED, core as Holder + 1),
            Visit::Lasting => (inside.lasting.fetch_add(1, Ordering::SeqCst), OPEN, self.lasting_holder(core)),
        };
        // The first of two would let a closer in beside the second, so this is asserted in release builds too.
        assert!(visit == Visit::Lasting || before & 1 == 0, "a core makes one brief visit at a time");
        order_write_before_read();
        let entered = Entered { gate: self, core, visit, holder, stays: PhantomData };
        if self.state.load(Ordering::SeqCst) <= state_max && place.is_none() {
            return Some(entered);
        }
        self.enter_by_place(entered, place)
    }

    /// Returns a number for a lasting visit of a core. A later visit gets the same number only after millions of others, so the lasting visits
    /// of a core, of which some may be suspended, do not take each other's shards for their own.
    fn lasting_holder(&self, core: usize) -> Holder {
        const LASTING: Holder = 1 << (Holder::BITS - 2);
        let numbered = &self.inside[core].numbered;
        let number = numbered.load(Ordering::Relaxed).wrapping_add(1);
        numbered.store(number, Ordering::Relaxed);
        LASTING | ((number << self.core_bits) & (LASTING - 1)) | core as Holder
    }

    /// Decides by the queue whether a visit may enter. If not, the visit joins the queue.
    #[cold]
    fn enter_by_place<'g>(&'g self, entered: Entered<'g>, place: &mut Option<Place>) -> Option<Entered<'g>> {
        let wants = Wants::Enter(entered.visit);
        // A closer that enters instead gives its place up, so that the lasting visits behind it are woken.
        place.take_if(|place| place.wants == Wants::Close);
        let mut queue = self.queue.lock();
        let number = self.number_of(place, wants, &mut queue);
        // The state is outdated if the last closer has given its place up.
        self.publish(&queue);
        if queue.may_enter(entered.visit, number) {
            drop(queue);
            *place = None;
            return Some(entered);
        }
        if number.is_none() {
            *place = Some(self.join(&mut queue, wants));
        }
        // Leaving may lock the queue.
        drop(queue);
        drop(entered);
        None
    }

    /// Closes the gate, if no visit is inside. Otherwise the result is `None`, and `place` holds the closer's place, as in [`Gate::enter`].
    ///
    /// The calling core is not in a brief visit. Its own lasting visits keep it from closing the gate, as those of other cores do.
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
        let failed_tries = number.and_then(|number| queue.places.get(&number)).map_or(0, |it| it.failed_tries);
        let turns_max = (SHUT_TURNS_FIRST << failed_tries.min(16)).min(SHUT_TURNS_MAX);
        queue.is_shut = true;
        self.state.store(SHUT, Ordering::SeqCst);
        drop(queue);
        order_write_before_read();
        let closed = Closed { gate: self };
        let Some(visit) = self.wait_for_brief_visits(turns_max) else {
            *place = None;
            return Some(closed);
        };
        let mut queue = self.queue.lock();
        let place = place.get_or_insert_with(|| self.join(&mut queue, Wants::Close));
        if let Some(waiting) = queue.places.get_mut(&place.number) {
            waiting.failed_tries += 1;
            waiting.waits_for = Some(visit);
        }
        drop(queue);
        drop(closed);
        None
    }

    /// Waits until no brief visit is inside. If one does not end in time, returns its core and the core's word.
    fn wait_for_brief_visits(&self, turns_max: u32) -> Option<(usize, u32)> {
        let mut turns = 0;
        for (core, inside) in self.inside.iter().enumerate() {
            loop {
                let word = inside.brief.load(Ordering::SeqCst);
                if word & 1 == 0 {
                    break;
                }
                if !spin(&mut turns, turns_max) {
                    return Some((core, word));
                }
            }
        }
        None
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

    /// Takes a new place at the end of the queue.
    fn join(&self, queue: &mut Queue, wants: Wants) -> Place {
        let number = queue.join(wants);
        self.publish(queue);
        Place { number, wants, queue: self.queue.clone() }
    }

    /// Sets the state to what the queue says.
    fn publish(&self, queue: &Queue) {
        let state = match () {
            () if queue.is_shut => SHUT,
            () if queue.closers > 0 => CLAIMED,
            () => OPEN,
        };
        self.state.store(state, Ordering::SeqCst);
    }

    /// Returns whether a lasting visit is inside. One that has just tried to enter counts until it has found that it may not.
    fn has_lasting_visits(&self) -> bool {
        self.inside.iter().any(|inside| inside.lasting.load(Ordering::SeqCst) != 0)
    }

    /// Returns `Ready` if it is worth trying again with a place, or if there is no place. Otherwise the task is woken later.
    pub fn poll_turn(&self, place: Option<&Place>, context: &mut Context<'_>) -> Poll<()> {
        let Some(place) = place else { return Poll::Ready(()) };
        let mut queue = self.queue.lock();
        let is_turn = match place.wants {
            Wants::Enter(visit) => queue.may_enter(visit, Some(place.number)),
            Wants::Close => queue.may_close(Some(place.number)) && !self.has_lasting_visits(),
        };
        let Some(waiting) = queue.places.get_mut(&place.number) else { return Poll::Ready(()) };
        if is_turn {
            let is_inside = |(core, word): (usize, u32)| self.inside[core].brief.load(Ordering::SeqCst) == word;
            if !waiting.waits_for.is_some_and(is_inside) {
                waiting.waits_for = None;
                return Poll::Ready(());
            }
            // Brief visits wake nobody when they end, so the task asks again after the core's other tasks.
            context.waker().wake_by_ref();
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Wakes the closer at the front if the last lasting visit has left. It is called by a lasting visit that leaves while the gate is not
    /// open.
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
    /// Returns whether a visit may enter. `number` is that of its place, if it has one.
    fn may_enter(&self, visit: Visit, number: Option<u64>) -> bool {
        let is_behind_closer = || {
            let mut before = self.places.range(..number.unwrap_or(u64::MAX));
            self.closers > 0 && before.any(|(_, waiting)| waiting.wants == Wants::Close)
        };
        !self.is_shut && (visit == Visit::Brief || !is_behind_closer())
    }

    /// Returns whether the place with this number is at the front; without a number, whether the queue is empty. The gate must not be shut
    /// either.
    fn may_close(&self, number: Option<u64>) -> bool {
        !self.is_shut && self.places.first_key_value().map(|(&first, _)| first) == number
    }

    /// Adds a place at the end. Returns its number.
    fn join(&mut self, wants: Wants) -> u64 {
        self.last_number += 1;
        self.closers += usize::from(wants == Wants::Close);
        self.places.insert(self.last_number, Waiting { wants, waker: None, failed_tries: 0, waits_for: None });
        self.last_number
    }

    /// Changes what a place is for.
    fn change(&mut self, number: u64, wants: Wants) {
        let waiting = self.places.get_mut(&number).expect("a place is in the queue until it is dropped");
        let is_close = |wants| usize::from(wants == Wants::Close);
        self.closers = self.closers - is_close(waiting.wants) + is_close(wants);
        waiting.wants = wants;
    }

    /// Takes the waker of the closer at the front, if a closer is there.
    fn take_first_closer(&mut self) -> Option<Waker> {
        let mut first = self.places.first_entry()?;
        if first.get().wants == Wants::Close { first.get_mut().waker.take() } else { None }
    }

    /// Takes the wakers of all places whose turn it may be: the closer at the front, the lasting visits before the first closer, and all brief
    /// visits.
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
    /// Removes the place from the queue. Returns the wakers of the places whose turn it may be now.
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
    /// Returns whether the visit entered this gate.
    #[inline]
    pub(crate) fn is_of(&self, gate: &Gate) -> bool {
        std::ptr::eq(self.gate, gate)
    }

    /// Returns the core that makes the visit.
    #[inline]
    pub(crate) fn core(&self) -> usize {
        self.core
    }

    /// Returns the number under which the visit holds locks.
    #[inline]
    pub(crate) fn holder(&self) -> Holder {
        self.holder
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        let inside = &self.gate.inside[self.core];
        match self.visit {
            Visit::Brief => {
                let word = inside.brief.load(Ordering::Relaxed);
                inside.brief.store(word.wrapping_add(1), Ordering::Release);
            }
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

impl Closed<'_> {
    /// Returns whether this gate is closed.
    pub(crate) fn is_of(&self, gate: &Gate) -> bool {
        std::ptr::eq(self.gate, gate)
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
        let closed = gate.close(&mut None).expect("the gate is open");
        for place in [&mut first, &mut second, &mut third] {
            assert!(gate.close(place).is_none() && place.is_some());
        }
        assert!(!is_turn(&gate, &first));
        drop(closed);
        assert!(is_turn(&gate, &first) && !is_turn(&gate, &second));
        assert!(gate.enter(0, Visit::Brief, &mut None).is_some(), "a brief visit enters meanwhile");
        assert!(gate.close(&mut fourth).is_none(), "a closer without a place queues");
        assert!(gate.close(&mut second).is_none());
        let closed = gate.close(&mut first).expect("the closer is at the front");
        assert!(first.is_none() && !is_turn(&gate, &second));
        drop(closed);
        // A place that was given up does not block the ones behind it.
        drop(second);
        assert!(is_turn(&gate, &third) && !is_turn(&gate, &fourth));
        drop(fourth);
        assert!(gate.close(&mut third).is_some());
        assert!(gate.close(&mut None).is_some());
    }

    #[test]
    fn the_gate_is_not_shut_while_a_lasting_visit_is_inside() {
        let gate = Gate::new(2);
        let long = gate.enter(0, Visit::Lasting, &mut None).expect("the gate is open");
        let (mut closer, mut later) = (None, None);
        assert!(gate.close(&mut closer).is_none() && !is_turn(&gate, &closer));
        assert!(gate.enter(0, Visit::Brief, &mut None).is_some(), "the same core makes brief visits");
        assert!(gate.enter(1, Visit::Brief, &mut None).is_some(), "and so do others");
        assert!(gate.enter(1, Visit::Lasting, &mut later).is_none(), "a lasting visit queues behind the closer");
        drop(long);
        assert!(is_turn(&gate, &closer) && !is_turn(&gate, &later));
        drop(gate.close(&mut closer).expect("no visit is inside"));
        assert!(is_turn(&gate, &later));
        assert!(gate.enter(1, Visit::Lasting, &mut later).is_some());
        assert!(gate.enter(0, Visit::Lasting, &mut None).is_some(), "the gate is open for all");
    }

    #[test]
    fn a_brief_visit_that_does_not_end_makes_the_closer_try_again() {
        let gate = Gate::new(2);
        let brief = gate.enter(1, Visit::Brief, &mut None).expect("the gate is open");
        let mut closer = None;
        assert!(gate.close(&mut closer).is_none());
        assert!(gate.enter(0, Visit::Brief, &mut None).is_some(), "the gate was opened again");
        assert!(!is_turn(&gate, &closer), "the gate is not shut again while the same visit is inside");
        assert!(!is_turn(&gate, &closer));
        drop(brief);
        let _other = gate.enter(1, Visit::Brief, &mut None).expect("the gate is open");
        assert!(is_turn(&gate, &closer), "another visit is another matter");
        assert!(gate.close(&mut closer).is_none());
        drop(_other);
        assert!(is_turn(&gate, &closer) && gate.close(&mut closer).is_some());
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

    #[test]
    fn visits_have_different_numbers() {
        for cores in [1, 3, 64] {
            let gate = Gate::new(cores);
            let mut numbers = std::collections::BTreeSet::from([0]);
            for core in 0..cores {
                assert!(numbers.insert(gate.enter(core, Visit::Brief, &mut None).expect("the gate is open").holder()));
                // The counter wraps around in between.
                gate.inside[core].numbered.store(u32::MAX - 50, Ordering::Relaxed);
                for _ in 0..100 {
                    let visit = gate.enter(core, Visit::Lasting, &mut None).expect("the gate is open");
                    assert!(numbers.insert(visit.holder()));
                }
            }
            assert!(numbers.iter().all(|&number| number <= Holder::MAX >> 1), "a lock has 31 bits for the holder");
        }
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

    /// Lets an actor try to get in, and checks that this excludes no other actor and passes none in the queue. Each actor is a core of its own,
    /// since a core makes one brief visit at a time.
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
            assert!(actor.place.is_some(), "an actor that waits has a place");
            if poll(gate, actor) {
                actor.woken.wake_by_ref();
            }
            return;
        }
        assert!(actor.place.is_none(), "an actor that is inside has no place");
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
