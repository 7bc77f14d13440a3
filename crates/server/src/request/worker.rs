//! A worker: a core with the memory that its connections share.

use std::{cell::RefCell, rc::Rc};

use super::turn::Scratch;
use crate::core::Core;

/// A core as its connections use it.
pub struct Worker {
    /// The core.
    pub core: Rc<Core>,
    /// The buffers for reading, parsing and answering. One connection uses them at a time.
    pub(super) scratch: RefCell<Scratch>,
}

impl Worker {
    /// A worker with empty buffers.
    pub fn new(core: Rc<Core>) -> Worker {
        Worker { core, scratch: RefCell::default() }
    }
}
