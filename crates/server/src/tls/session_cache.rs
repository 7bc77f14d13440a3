//! The TLS sessions that clients can resume.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustls::server::StoresServerSessions;

/// A bounded number of sessions, each for a bounded time.
pub struct SessionCache {
    /// 0 for no limit.
    sessions_max: usize,
    lifetime: Duration,
    /// A plain mutex: it is taken once or twice in a handshake, for a moment.
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    by_id: HashMap<Vec<u8>, (Instant, Vec<u8>)>,
    /// All that are in `by_id`, oldest first, and some that are not there any more.
    by_age: VecDeque<(Instant, Vec<u8>)>,
}

impl SessionCache {
    /// An empty cache for at most `sessions_max` sessions, each of which is kept for `lifetime_s` seconds.
    pub fn new(sessions_max: usize, lifetime_s: u64) -> SessionCache {
        SessionCache { sessions_max, lifetime: Duration::from_secs(lifetime_s), sessions: Mutex::default() }
    }

    fn is_over(&self, since: Instant) -> bool {
        since.elapsed() >= self.lifetime
    }

    fn find(&self, found: Option<(Instant, Vec<u8>)>) -> Option<Vec<u8>> {
        found.filter(|(since, _)| !self.is_over(*since)).map(|(_, session)| session)
    }
}

impl StoresServerSessions for SessionCache {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        let mut sessions = self.sessions.lock();
        while let Some((since, _)) = sessions.by_age.front()
            && (self.is_over(*since) || self.sessions_max > 0 && sessions.by_age.len() >= self.sessions_max)
        {
            let (since, id) = sessions.by_age.pop_front().expect("it was just looked at");
            if sessions.by_id.get(&id).is_some_and(|(kept, _)| *kept == since) {
                sessions.by_id.remove(&id);
            }
        }
        let now = Instant::now();
        sessions.by_age.push_back((now, id.clone()));
        sessions.by_id.insert(id, (now, session));
        true
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.find(self.sessions.lock().by_id.get(id).cloned())
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.find(self.sessions.lock().by_id.remove(id))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Sessions are secrets.
        f.debug_struct("SessionCache").field("sessions_max", &self.sessions_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_session_goes_first() {
        let cache = SessionCache::new(2, 1000);
        for id in [b"a", b"b", b"c"] {
            assert!(cache.put(id.to_vec(), id.to_vec()));
        }
        assert_eq!(cache.get(b"a"), None);
        assert_eq!(cache.get(b"b"), Some(b"b".to_vec()));
        assert_eq!(cache.take(b"c"), Some(b"c".to_vec()));
        assert_eq!(cache.take(b"c"), None);
    }

    #[test]
    fn a_session_ends_with_its_time() {
        let cache = SessionCache::new(0, 0);
        cache.put(b"a".to_vec(), b"a".to_vec());
        assert_eq!(cache.get(b"a"), None);
        cache.put(b"b".to_vec(), b"b".to_vec());
        assert_eq!(cache.sessions.lock().by_age.len(), 1, "those whose time is over make room");
    }
}
