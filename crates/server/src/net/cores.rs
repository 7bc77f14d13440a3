//! The cores: each is a thread with its own runtime. A connection stays on the core that it was given to.

use std::{future::poll_fn, rc::Rc, sync::Arc, task::Poll, thread, time::Duration};

use ochre_keyspace::{ShardList, Visit};
use ochre_resp::Protocol;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Notify, mpsc},
    task::spawn_local,
    time::{Instant, sleep_until, timeout_at},
};

use super::handshake::Handshakes;
use crate::{
    clock, commands,
    config::ConfigStore,
    config::TlsAuthClientsUser,
    core::Core,
    huge_pages::HugePages,
    mailroom::{Arrival, Mailroom},
    memory,
    persistence::saver,
    request::{
        chores, client_eviction, connection, defragmenting, effects, eviction, inserting,
        locks::{self, Demand, Unavailable},
        serving, walker,
        worker::Worker,
    },
    server::Server,
    session::{Client, LockAttempt, Session},
    sockets::{listening::Listening, stream::Stream, tls_stream::TlsStream},
    threads,
    tls::certificate,
};

/// The most keys to expire before the shard's lock is released.
const EXPIRED_PER_LOCK: usize = 16;
/// How long a core expires keys before it serves its clients again.
const EXPIRY_TURN: Duration = Duration::from_micros(250);
/// The core that walks through the shards for snapshots.
const WALKING_CORE: usize = 0;
/// After how many rounds of housekeeping the allocator's pages are looked at.
const MEMORY_ROUNDS: u64 = 10;
/// How often a core checks the timeouts and limits of its clients.
const HOUSEKEEPING: Duration = Duration::from_millis(100);

/// The cores of a server that serve nobody yet: the data may be loaded first.
pub struct Prepared {
    arrivals: Vec<mpsc::UnboundedReceiver<Arrival>>,
    deadlines: Vec<Arc<Notify>>,
}

/// Makes a server with its settings, and its cores. The commands are loaded.
pub fn prepare(config: ConfigStore, listening: Listening) -> (Arc<Server>, Prepared) {
    let mut mailrooms = Vec::new();
    let mut arrivals = Vec::new();
    for _ in 0..config.current().thread_count() {
        let (sender, receiver) = mpsc::unbounded_channel();
        mailrooms.push(Mailroom { arrivals: sender, deadline: Arc::new(Notify::new()) });
        arrivals.push(receiver);
    }
    let deadlines = mailrooms.iter().map(|mailroom| mailroom.deadline.clone()).collect();
    let server = Arc::new(Server::new(config, mailrooms, listening, commands::table().count()));
    (server, Prepared { arrivals, deadlines })
}

impl Prepared {
    /// Starts the cores' threads.
    pub fn start(self, server: &Arc<Server>) {
        for (index, (arrivals, deadline)) in self.arrivals.into_iter().zip(self.deadlines).enumerate() {
            start(index, server.clone(), arrivals, deadline);
        }
    }
}

/// Starts the thread of core `index`. It takes connections from `arrivals`; `deadline` wakes its expiry ([`crate::mailroom::Mailroom`]).
fn start(
    index: usize,
    server: Arc<Server>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    deadline: Arc<Notify>,
) -> thread::JoinHandle<()> {
    let run = move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .expect("the system provides an event queue");
        runtime.block_on(run(index, server, arrivals, deadline));
    };
    threads::spawn(&format!("ochre-core-{index}"), run).expect("the system can start a thread")
}

/// Starts the core's tasks, and serves arriving connections until the server stops.
async fn run(index: usize, server: Arc<Server>, mut arrivals: mpsc::UnboundedReceiver<Arrival>, deadline: Arc<Notify>) {
    let core = Rc::new(Core::new(index, server));
    let worker = Rc::new(Worker::new(core.clone()));
    let handshakes = Rc::new(Handshakes::new());
    spawn_local(expire(core.clone(), deadline));
    spawn_local(housekeeping(core.clone()));
    spawn_local(chores::serve(core.clone()));
    spawn_local(eviction::serve(core.clone()));
    spawn_local(defragmenting::serve(core.clone()));
    spawn_local(inserting::serve(core.clone()));
    spawn_local(pass_frames_on(core.clone()));
    if index == WALKING_CORE {
        spawn_local(walker::serve(core.clone()));
    }
    while let Some(arrival) = arrivals.recv().await {
        let Arrival { stream, client, protocol, refusal } = arrival;
        let newcomer = Newcomer { client, protocol, refusal, certificate_name: None };
        match stream.register() {
            Ok(Stream::Tls(stream)) => {
                spawn_local(encrypt(worker.clone(), handshakes.clone(), stream, newcomer));
            }
            Ok(stream) => welcome(&worker, stream, newcomer),
            Err(error) => {
                tracing::warn!("Registering a client connection: {error}");
                core.server.clients.remove(&newcomer.client);
            }
        }
    }
}

/// A client whose session has not begun.
struct Newcomer {
    client: Arc<Client>,
    protocol: Protocol,
    /// See [`Arrival::refusal`].
    refusal: Option<&'static [u8]>,
    /// The common name in the certificate that it has presented.
    certificate_name: Option<Box<str>>,
}

/// Starts the session of a connection and the task that serves it.
fn welcome(worker: &Rc<Worker>, stream: Stream, newcomer: Newcomer) {
    let core = &worker.core;
    core.refresh_config();
    core.counters.connections_received.add(1);
    let users = &core.server.users;
    let named = match core.config().tls_auth_clients_user {
        TlsAuthClientsUser::CommonName => newcomer.certificate_name.as_deref(),
        TlsAuthClientsUser::Off => None,
    };
    // A certificate that names no user that is on leaves the client a new one like any other.
    let identity = named.and_then(|name| {
        let noted = || newcomer.client.change_details(|details| details.user = name.as_bytes().into());
        users.identity_of_certificate(name.as_bytes(), noted)
    });
    let identity = identity.unwrap_or_else(|| users.identity_of_new_client());
    let mut session = Session::new(newcomer.client, newcomer.protocol, identity);
    session.speak(newcomer.protocol);
    spawn_local(connection::serve(worker.clone(), stream, session));
}

/// Completes the handshake of a connection, and starts its session.
async fn encrypt(worker: Rc<Worker>, handshakes: Rc<Handshakes>, mut stream: Box<TlsStream>, mut newcomer: Newcomer) {
    let core = &worker.core;
    core.refresh_config();
    let is_encrypted = handshakes.complete(core, &mut stream, &newcomer.client).await;
    if is_encrypted && newcomer.refusal.is_none() {
        let name = stream.peer_certificate().and_then(certificate::common_name);
        newcomer.certificate_name = name.map(String::into_boxed_str);
        return welcome(&worker, Stream::Tls(stream), newcomer);
    }
    match newcomer.refusal {
        // Nothing was sent to it yet but the handshake, so the text fits. An error means that the client is gone already.
        Some(text) if is_encrypted => drop(poll_fn(|cx| Poll::Ready(stream.write_what_fits(cx, text))).await),
        // Refused connections are counted elsewhere.
        Some(_) => {}
        None => core.counters.connections_received.add(1),
    }
    core.server.clients.remove(&newcomer.client);
}

/// Removes the keys of the core's shards as they expire, and announces each removal. `earlier` is notified when a shard gets an earlier
/// deadline, and when expiry may go on.
async fn expire(core: Rc<Core>, earlier: Arc<Notify>) {
    let server = core.server.clone();
    let mut due = Vec::new();
    loop {
        if server.pause.stops_expiry() || !server.expires_actively() || server.loading.is_on() {
            // The end of either notifies `earlier`, except for a pause that ends because its time is over.
            let _ = timeout_at(Instant::now() + HOUSEKEEPING, earlier.notified()).await;
            continue;
        }
        due.clear();
        let next_ms = server.keyspace.due_shards(core.index, clock::now_ms(), &mut due);
        let mut turn_began = clock::ticks();
        // A shard that another visit has locked for long does not hold the others up.
        let mut busy = None;
        for &shard in &due {
            let mut attempt = None;
            loop {
                let result = expire_some(&core, shard, &mut attempt);
                // Every try counts, also one that ends with its shard: there may be thousands of shards with a key each, or locked ones.
                if clock::ticks().saturating_sub(turn_began) > clock::ticks_of(EXPIRY_TURN) {
                    tokio::task::yield_now().await;
                    turn_began = clock::ticks();
                }
                match result {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(unavailable @ Unavailable::Shard(_)) => {
                        busy = Some(unavailable);
                        break;
                    }
                    Err(unavailable) => {
                        poll_fn(|cx| locks::poll_available(&core, attempt.as_deref(), unavailable, cx)).await;
                    }
                }
            }
        }
        // A key is expired from the millisecond after its deadline on.
        let wait_ms = next_ms.saturating_sub(clock::now_ms()).saturating_add(1).clamp(1, 60_000);
        let wait = Duration::from_millis(wait_ms as u64);
        if let Some(unavailable) = busy {
            // The wait ends when that shard is free or when another one is due. It is bounded, since several shards may be locked.
            let free = poll_fn(|cx| locks::poll_available(&core, None, unavailable, cx));
            tokio::select! {
                () = free => {}
                () = earlier.notified() => {}
                () = tokio::time::sleep(wait.min(HOUSEKEEPING)) => {}
            }
            // The shard may have been free before the wait began.
            tokio::task::yield_now().await;
            continue;
        }
        if !due.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        let _ = timeout_at(Instant::now() + wait, earlier.notified()).await;
    }
}

/// Expires a few keys of a shard. Returns whether no key is left that is due.
///
/// # Errors
/// What to wait for, if the shard cannot be locked now.
fn expire_some(core: &Core, shard: usize, attempt: &mut Option<Box<LockAttempt>>) -> Result<bool, Unavailable> {
    // `notify-keyspace-events` may have changed, and a core without requests has no other occasion to notice.
    core.refresh_config();
    // Expiry may have been stopped since the due shards were listed.
    let is_stopped = || core.server.pause.stops_expiry() || !core.server.expires_actively();
    let demand = Demand {
        database: 0,
        shards: ShardList::from_slice(&[shard as u16]),
        everything: false,
        visit: Visit::Brief,
        visit_written: &|_| {},
        is_paused: &is_stopped,
        is_stale: &|| false,
        may_write: &|| true,
    };
    let mut locked = match locks::lock(core, &core.config(), attempt, demand) {
        Ok(locked) => locked,
        Err(Unavailable::Pause) => return Ok(true),
        Err(unavailable) => return Err(unavailable),
    };
    let is_finished = (0..EXPIRED_PER_LOCK).any(|_| !locked.writer().expire_one(shard));
    effects::publish_expired_alone(core, &locked);
    serving::serve(core, &mut locked);
    Ok(is_finished)
}

/// Tells the journal's sink that frames were appended. The task has its turn after the connections that are ready when the first of them is, so
/// that their frames are written and synced together.
async fn pass_frames_on(core: Rc<Core>) {
    loop {
        core.appended.notified().await;
        core.server.journal.appended();
    }
}

/// Checks regularly what no event reports: clients that are idle for too long, output buffers that stay above their soft limit, and the
/// rates and the memory that INFO shows.
async fn housekeeping(core: Rc<Core>) {
    let mut next = Instant::now();
    let mut rounds = 0_u64;
    let mut huge_pages = HugePages::On(0);
    loop {
        core.refresh_config();
        let config = core.config();
        rounds += 1;
        let now_ms = clock::now_ms();
        if core.index == 0 {
            core.server.sample_rates(now_ms);
            if !core.server.loading.is_on() {
                saver::begin_if_due(&core.server, &config, now_ms / 1000);
            }
            clock::measure_ticks();
        }
        eviction::check(&core, &config);
        if core.index == 0 {
            client_eviction::check(&core, &config);
            if rounds.is_multiple_of(MEMORY_ROUNDS) {
                let pages = memory::allocator();
                huge_pages.follow(pages.active);
                core.server.defragmentation.plan(&config, &pages, core.server.cores());
            }
        }
        core.server.clients.visit_core(core.index, |client| {
            client.note_activity(now_ms);
            if config.timeout_s > 0 && client.is_idle_for(config.timeout_s as i64 * 1000, now_ms) {
                tracing::debug!("Closing idle client: id={}", client.id);
                client.kill();
            } else if client.has_output() {
                // Its connection checks the limits of its output.
                client.wake();
            }
        });
        next += HOUSEKEEPING;
        sleep_until(next.max(Instant::now())).await;
    }
}
