//! The gate: how one command has the whole keyspace to itself.
//!
//! Every core enters the gate for a batch and leaves it after; entering is a try, which fails while the gate is closed. Who closes it
//! waits until all others are out, which takes one batch at most, and then is alone.
//!
//! Entering writes a word of the core's own and reads the flag; closing writes the flag and reads all words. Both sides write before
//! they read, in one total order (sequential consistency), so at least one of two sees the other (Dekker's algorithm).
//!
//! Those who want to close it take turns in the order of their arrival. While it is open but somebody's turn, all may enter, and nobody
//! else may close it: a client whose core is quick would else come before those of other cores again and again.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::sync::{AtomicBool, AtomicU32, Mutex, Ordering, order_write_before_read, spin};

#[repr(align(128))]
struct Word(AtomicU32);

/// See the module.
pub struct Gate {
    closed: AtomicBool,
    /// One word a core: 1 while it is inside.
    inside: Box<[Word]>,
    /// A mutex, since it is touched only when the gate is used. Shared with the turns, each of which takes itself out.
    waiting: Arc<Mutex<Waiting>>,
}

/// Who waits at the gate.
#[derive(Default)]
struct Waiting {
    is_closed: bool,
    /// Who found it closed and wants to enter.
    to_enter: Vec<Waker>,
    /// Who found it closed, or another's turn, and wants to close it: by number, in the order of arrival. The waker is there once he
    /// waits.
    to_close: VecDeque<(u64, Option<Waker>)>,
    last_number: u64,
}

/// Being inside: the gate cannot be closed until it is dropped.
pub struct Entered<'g> {
    gate: &'g Gate,
    core: usize,
}

impl Entered<'_> {
    /// The core that is inside.
    #[inline]
    pub(crate) fn core(&self) -> usize {
        self.core
    }
}

/// Having the keyspace alone, until it is dropped.
pub struct Closed<'g> {
    gate: &'g Gate,
}

/// A place among those who want to close the gate. When it is dropped, the next has his turn.
pub struct Turn {
    number: u64,
    waiting: Arc<Mutex<Waiting>>,
}

impl Gate {
    pub(crate) fn new(cores: usize) -> Gate {
        Gate {
            closed: AtomicBool::new(false),
            inside: (0..cores).map(|_| Word(AtomicU32::new(0))).collect(),
            waiting: Arc::new(Mutex::new(Waiting::default())),
        }
    }

    /// Enters, or not where the gate is closed. A core enters once at a time.
    #[inline]
    pub fn enter(&self, core: usize) -> Option<Entered<'_>> {
        let before = self.inside[core].0.swap(1, Ordering::SeqCst);
        debug_assert_eq!(before, 0, "a core is inside once");
        order_write_before_read();
        if self.closed.load(Ordering::SeqCst) {
            self.inside[core].0.store(0, Ordering::Release);
            return None;
        }
        Some(Entered { gate: self, core })
    }

    /// Closes the gate and waits until everybody else is out; not where another has closed it, or where it is another's turn. Then
    /// `turn` is a turn to be waited for and tried again with, and to be dropped by who does not want to close the gate any more. The
    /// caller is not inside.
    pub fn close(&self, turn: &mut Option<Turn>) -> Option<Closed<'_>> {
        let mut waiting = self.waiting.lock();
        let number = turn.as_ref().map(|turn| turn.number);
        if waiting.is_closed || !waiting.is_turn_of(number) {
            if turn.is_none() {
                *turn = Some(waiting.join(&self.waiting));
            }
            return None;
        }
        waiting.is_closed = true;
        self.closed.store(true, Ordering::SeqCst);
        drop(waiting);
        *turn = None;
        order_write_before_read();
        for word in &self.inside {
            let mut turns = 0;
            while word.0.load(Ordering::SeqCst) != 0 {
                spin(&mut turns);
            }
        }
        Some(Closed { gate: self })
    }

    /// Ready when the gate is open and, for who wants to close it, when it is his turn; else the task is woken then.
    pub fn poll_open(&self, turn: Option<&Turn>, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.waiting.lock();
        let number = turn.map(|turn| turn.number);
        if !waiting.is_closed && (turn.is_none() || waiting.is_turn_of(number)) {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        match waiting.to_close.iter_mut().find(|(other, _)| Some(*other) == number) {
            Some((_, place)) => *place = Some(waker),
            None => waiting.to_enter.push(waker),
        }
        Poll::Pending
    }
}

impl Waiting {
    /// Whether he with this number may close the gate, were it open; without a number, whether nobody waits.
    fn is_turn_of(&self, number: Option<u64>) -> bool {
        self.to_close.front().map(|(first, _)| *first) == number
    }

    fn join(&mut self, shared: &Arc<Mutex<Waiting>>) -> Turn {
        self.last_number += 1;
        self.to_close.push_back((self.last_number, None));
        Turn { number: self.last_number, waiting: shared.clone() }
    }

    /// The waker of who is next, where the gate is open.
    fn next(&mut self) -> Option<Waker> {
        if self.is_closed { None } else { self.to_close.front_mut()?.1.take() }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut waiting = self.waiting.lock();
            let was_first = waiting.is_turn_of(Some(self.number));
            waiting.to_close.retain(|(number, _)| *number != self.number);
            if was_first { waiting.next() } else { None }
        };
        next.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.gate.inside[self.core].0.store(0, Ordering::Release);
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let (to_enter, next) = {
            let mut waiting = self.gate.waiting.lock();
            waiting.is_closed = false;
            self.gate.closed.store(false, Ordering::SeqCst);
            (std::mem::take(&mut waiting.to_enter), waiting.next())
        };
        next.into_iter().chain(to_enter).for_each(Waker::wake);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn is_ready(gate: &Gate, turn: &Option<Turn>) -> bool {
        gate.poll_open(turn.as_ref(), &mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn who_came_first_closes_first() {
        let gate = Gate::new(1);
        let (mut first, mut second, mut third, mut fourth) = (None, None, None, None);
        let closed = gate.close(&mut None).expect("nobody is there");
        for turn in [&mut first, &mut second, &mut third] {
            assert!(gate.close(turn).is_none() && turn.is_some());
        }
        assert!(!is_ready(&gate, &first));
        drop(closed);
        assert!(is_ready(&gate, &first) && !is_ready(&gate, &second));
        assert!(gate.enter(0).is_some(), "all may enter meanwhile");
        assert!(gate.close(&mut fourth).is_none(), "nobody passes those who wait");
        assert!(gate.close(&mut second).is_none());
        let closed = gate.close(&mut first).expect("it is his turn");
        assert!(first.is_none() && !is_ready(&gate, &second));
        drop(closed);
        // Who leaves gives his turn to the next.
        drop(second);
        assert!(is_ready(&gate, &third) && !is_ready(&gate, &fourth));
        drop(fourth);
        assert!(gate.close(&mut third).is_some());
        assert!(gate.close(&mut None).is_some());
    }
}
