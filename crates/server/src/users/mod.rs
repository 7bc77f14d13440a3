//! Users: who may run which commands, on which keys and channels. (Redis: "ACL")
//!
//! | file | what it holds |
//! |---|---|
//! | `user.rs` | a user, its passwords and its selectors, and whether they allow a command |
//! | `command_set.rs` | the commands that a selector allows |
//! | `denials.rs` | what ACL LOG shows |
//! | `failures.rs` | how often authentication has failed, by address |
//!
//! A user is never changed in place. A change makes a new one, and increases a generation number. A session keeps the user that it acts for,
//! and asks for it again when the generation has changed. The rules that describe a user are read and written in `commands/acl/rules.rs`,
//! since they name commands.

pub mod command_set;
pub mod denials;
pub mod failures;
pub mod user;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use denials::Denials;
use failures::Failures;
pub use user::User;

/// The name of the user that new connections act for, if it needs no password.
pub const DEFAULT_USER: &[u8] = b"default";

/// Users by name. There is always a default user.
pub type ByName = BTreeMap<Box<[u8]>, Arc<User>>;

/// All users of a server.
pub struct Users {
    /// Guards the users. A plain mutex: it is taken when a client authenticates and when users change.
    by_name: Mutex<ByName>,
    /// Increased after each change.
    generation: AtomicU64,
    /// What was denied.
    pub denials: Denials,
    /// Failed authentications.
    pub failures: Failures,
}

/// The user that a session acts for.
#[derive(Clone, Default)]
pub struct Identity {
    /// `None` before authentication.
    user: Option<Arc<User>>,
    /// The generation of the users that `user` is taken from.
    generation: u64,
}

impl Default for Users {
    /// Only the default user, who may do everything and needs no password.
    fn default() -> Users {
        let default = Arc::new(User::unrestricted(DEFAULT_USER));
        Users {
            by_name: Mutex::new(BTreeMap::from([(DEFAULT_USER.into(), default)])),
            generation: AtomicU64::new(1),
            denials: Denials::default(),
            failures: Failures::default(),
        }
    }
}

impl Users {
    /// The user of a name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.by_name.lock().get(name).cloned()
    }

    /// The default user.
    pub fn default_user(&self) -> Arc<User> {
        self.by_name.lock()[DEFAULT_USER].clone()
    }

    /// All users in the order of their names.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.by_name.lock().values().cloned().collect()
    }

    /// Changes the users. Nobody sees them meanwhile.
    pub fn change<R>(&self, change: impl FnOnce(&mut ByName) -> R) -> R {
        let mut by_name = self.by_name.lock();
        let result = change(&mut by_name);
        debug_assert!(by_name.contains_key(DEFAULT_USER));
        self.generation.fetch_add(1, Ordering::Release);
        result
    }

    /// The identity of a new connection: the default user, if that needs no password.
    pub fn identity_of_new_client(&self) -> Identity {
        let mut identity = Identity::default();
        self.refresh(&mut identity);
        identity
    }

    /// Gives a session the user of this name, if the password is right. `authenticated` is called while no user changes.
    pub fn authenticate(&self, name: &[u8], password: &[u8], authenticated: impl FnOnce()) -> Option<Identity> {
        self.act_for(name, |user| user.accepts(password), authenticated)
    }

    /// The identity of a client whose certificate names a user, if that is on. `found` is called while no user changes.
    pub fn identity_of_certificate(&self, name: &[u8], found: impl FnOnce()) -> Option<Identity> {
        self.act_for(name, |user| user.is_on, found)
    }

    fn act_for(&self, name: &[u8], may: impl FnOnce(&User) -> bool, noted: impl FnOnce()) -> Option<Identity> {
        let by_name = self.by_name.lock();
        let user = by_name.get(name).filter(|user| may(user))?;
        noted();
        Some(Identity { user: Some(user.clone()), generation: self.generation.load(Ordering::Acquire) })
    }

    /// Whether the users are still those that an identity was taken from.
    #[inline]
    pub fn is_current(&self, identity: &Identity) -> bool {
        self.generation.load(Ordering::Acquire) == identity.generation
    }

    /// Makes an identity that of the users in force. A user that is gone leaves a client that is not authenticated.
    #[inline]
    pub fn refresh(&self, identity: &mut Identity) {
        if !self.is_current(identity) {
            self.refresh_changed(identity);
        }
    }

    #[cold]
    fn refresh_changed(&self, identity: &mut Identity) {
        let by_name = self.by_name.lock();
        identity.generation = self.generation.load(Ordering::Acquire);
        identity.user = match &identity.user {
            Some(user) => by_name.get(&user.name).cloned(),
            None => by_name.get(DEFAULT_USER).filter(|user| user.is_open()).cloned(),
        };
    }
}

impl Identity {
    /// An identity that may do everything and that no change of the users concerns: the server acts for itself.
    pub fn of_server() -> Identity {
        Identity { user: Some(Arc::new(User::unrestricted(DEFAULT_USER))), generation: 0 }
    }

    /// The user; `None` before authentication.
    #[inline]
    pub fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// Whether it is authenticated.
    #[inline]
    pub fn is_authenticated(&self) -> bool {
        self.user.is_some()
    }

    /// Whether it may do everything.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.is_unrestricted())
    }
}
