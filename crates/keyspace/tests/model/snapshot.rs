//! Snapshots that are taken while the steps of the model are applied.

use std::cell::Cell;

use ochre_keyspace::{Advanced, Images, Snapshot};

use super::*;

/// A snapshot that is being taken, with the contents that it is to have.
struct Taken {
    snapshot: Snapshot,
    expected: Model,
    got: Model,
    is_cancelled: bool,
}

/// Returns everything that the keyspace holds, expired keys among them.
fn contents(keyspace: &Keyspace) -> Model {
    let mut contents = Model::new();
    for database in 0..DATABASES {
        let mut position = Some(ScanPosition::START);
        while let Some(from) = position {
            let walk = Walk::new(keyspace, enter(keyspace), 0, false);
            let mut visit = |met: Met<'_>| drop(add(&mut contents, database, met.entry()));
            position = next(walk.walker().visit(database, from, &mut visit, &mut || false));
        }
    }
    contents
}

fn add(model: &mut Model, database: usize, entry: EntryRef<'_>) -> Option<ModelEntry> {
    let value = ModelEntry { value: value_of(entry), expiry_ms: entry.expiry_ms() };
    model.insert((database, entry.key().to_vec()), value)
}

impl Taken {
    fn begin(keyspace: &Keyspace) -> Taken {
        let expected = contents(keyspace);
        let mut set = whole(keyspace, 0);
        let snapshot = set.whole_keyspace().cut(DATABASES).expect("no other snapshot is running");
        assert!(set.whole_keyspace().cut(DATABASES).is_none(), "one snapshot at a time");
        let keys: usize = snapshot.sizes().iter().map(|size| size.keys).sum();
        assert_eq!(keys, expected.len());
        Taken { snapshot, expected, got: Model::new(), is_cancelled: false }
    }

    /// Takes the images of about so many hashes. Returns whether the snapshot has ended.
    fn advance(&mut self, keyspace: &Keyspace, hashes: usize) -> bool {
        let entered = enter(keyspace);
        let (mut images, asked) = (Images::default(), Cell::new(0));
        let mut enough = |_| {
            asked.set(asked.get() + 1);
            asked.get() >= hashes
        };
        let advanced = self.snapshot.advance(keyspace, &entered, &mut images, &mut enough);
        images.visit(&mut |database, entry| {
            let before = add(&mut self.got, database, entry);
            assert!(before.is_none(), "the image of {entry:?} was taken twice");
        });
        match advanced {
            Advanced::Some => false,
            Advanced::All => true,
            Advanced::Busy(busy) => panic!("there is no other visit: {busy:?}"),
        }
    }

    fn cancel(&mut self) {
        self.is_cancelled = true;
        self.snapshot.watch().cancel();
    }

    fn end(self) {
        assert_eq!(self.snapshot.watch().backlog(), 0);
        if self.is_cancelled {
            assert!(self.got.iter().all(|(key, entry)| self.expected.get(key) == Some(entry)));
        } else {
            assert_eq!(self.got, self.expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn a_snapshot_has_what_was_there_at_the_cut(
        steps in prop::collection::vec((step(), 0usize..4, prop::bool::weighted(0.01)), 1..400),
        hashes in 1usize..20,
    ) {
        let keyspace = Keyspace::with_shards(3, 1, DATABASES, (1, 2), |_| {});
        let mut model = Model::new();
        let mut now_ms = 1_000_000;
        let mut taken: Option<Taken> = None;
        for (step, advances, cancels) in steps {
            apply(&keyspace, &mut model, &mut now_ms, step);
            let running = taken.get_or_insert_with(|| Taken::begin(&keyspace));
            if cancels {
                running.cancel();
            }
            if (0..advances).any(|_| running.advance(&keyspace, hashes)) {
                taken.take().expect("it was running").end();
            }
        }
        if let Some(mut taken) = taken {
            while !taken.advance(&keyspace, hashes) {}
            taken.end();
        }
        prop_assert!(keyspace.snapshot().is_none());
        check_all(&keyspace, &model, now_ms);
    }
}
