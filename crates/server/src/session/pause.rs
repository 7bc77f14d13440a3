//! stub
use std::task::{Context, Poll};
#[derive(Default)]
pub struct Pause;
impl Pause {
    pub fn holds(&self, _f: crate::commands::Flags, _s: &super::Session) -> bool {
        false
    }
    pub fn stops_expiry(&self) -> bool {
        false
    }
    pub fn poll_end(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
