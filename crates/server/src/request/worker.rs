//! A core as its connections use it.

use std::{cell::RefCell, rc::Rc};

use super::turn::Scratch;
use crate::core::Core;

/// See the module.
pub struct Worker {
    pub core: Rc<Core>,
    /// The memory that requests are read into, cut and answered in, shared by all connections of the core one after the other.
    pub(super) scratch: RefCell<Scratch>,
}

impl Worker {
    pub fn new(core: Rc<Core>) -> Worker {
        Worker { core, scratch: RefCell::default() }
    }
}
