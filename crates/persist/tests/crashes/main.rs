//! Proves that a crash at any instant, and a call that fails at any instant, leaves files that are whole and folders that load.

mod disk;

use std::{
    io::{Read, Write},
    path::Path,
    sync::Arc,
};

use ochre_persist::{
    aof::folder::{Folder, NewBase},
    files::{Files, OutFile},
    new_file::NewFile,
};

use self::disk::{Disk, Image};

fn image(files: &[(&str, &str)]) -> Image {
    files.iter().map(|(path, text)| (path.into(), text.as_bytes().to_vec())).collect()
}

/// Writes a file in the place of another one.
fn replace(disk: &Disk) -> bool {
    let write = || {
        let mut file = NewFile::create(Arc::new(disk.clone()), Path::new("dump.rdb"), Path::new("temp-1.rdb"), Some(4))
            .map_err(|failed| failed.error)?;
        file.write_all(b"new ")?;
        file.write_all(b"contents")?;
        file.commit().map_err(|failed| failed.error)
    };
    write().is_ok()
}

#[test]
fn a_file_is_the_old_one_or_the_new_one_after_a_crash() {
    for before in [image(&[("dump.rdb", "old")]), image(&[])] {
        let disk = Disk::of(&before);
        disk.keep_history();
        assert!(replace(&disk));
        let crashes = disk.crashes();
        assert!(crashes.len() >= 6, "{} calls", crashes.len());
        let old = before.get(Path::new("dump.rdb")).map(Vec::as_slice);
        for after in crashes.iter().flatten() {
            let found = after.get(Path::new("dump.rdb")).map(Vec::as_slice);
            assert!(found == old || found == Some(b"new contents"), "{found:?}");
        }
        let last = crashes.last().expect("there were calls");
        assert!(last.iter().all(|after| after[Path::new("dump.rdb")] == b"new contents"), "it is durable in the end");
    }
}

#[test]
fn a_file_is_the_old_one_if_a_call_fails() {
    let calls = {
        let disk = Disk::of(&image(&[("dump.rdb", "old")]));
        assert!(replace(&disk));
        disk.calls()
    };
    for failing in 0..calls {
        let disk = Disk::of(&image(&[("dump.rdb", "old")]));
        disk.fail(failing);
        assert!(!replace(&disk), "call {failing}");
        let after = disk.image();
        // Only syncing the directory comes after the file has its name.
        let is_renamed = failing + 1 == calls;
        let expected: &[u8] = if is_renamed { b"new contents" } else { b"old" };
        assert_eq!(after[Path::new("dump.rdb")], expected, "call {failing}");
        assert_eq!(after.len(), 1, "call {failing} leaves nothing behind: {after:?}");
    }
}

const NAME: &[u8] = b"a.aof";

fn open(disk: &Disk) -> Result<Folder, String> {
    Folder::open(Arc::new(disk.clone()), Path::new("aof"), NAME).map_err(|error| error.to_string())
}

/// Writes the records of these numbers, one in each line, and syncs.
fn write(file: &dyn OutFile, numbers: std::ops::RangeInclusive<u32>) -> Result<(), String> {
    for number in numbers {
        file.write(format!("{number}\n").as_bytes()).map_err(|error| error.to_string())?;
    }
    file.sync().map_err(|error| error.to_string())
}

/// Loads a folder: the complete lines of its files.
fn load(disk: &Disk) -> Vec<u32> {
    let folder = open(disk).unwrap_or_else(|error| panic!("{error}: {:?}", disk.image()));
    let mut numbers = Vec::new();
    for file in folder.files_to_load() {
        let mut text = String::new();
        disk.open(&file.path)
            .unwrap_or_else(|error| panic!("{}: {error}", file.path.display()))
            .read_to_string(&mut text)
            .expect("it is text");
        let complete = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        numbers.extend(complete.map(|line| line.trim().parse::<u32>().expect("a number")));
    }
    numbers
}

/// What happens to a folder. It returns, after each step, how many records are acknowledged by then.
type Story = fn(&Disk, &mut dyn FnMut(u32)) -> Result<(), String>;

/// An increment is written, and two rewrites follow, during which the writing goes on.
fn rewrites(disk: &Disk, acknowledged: &mut dyn FnMut(u32)) -> Result<(), String> {
    let plain = |error: std::io::Error| error.to_string();
    let mut folder = open(disk)?;
    let (mut file, _) = folder.resume_increment().map_err(plain)?;
    let mut last = 0;
    for _ in 0..2 {
        write(&*file, last + 1..=last + 2)?;
        last += 2;
        acknowledged(last);
        let (part, next) = folder.new_increment().map_err(plain)?;
        folder.list(part.clone()).map_err(plain)?;
        let NewBase { file: mut base, part: base_part } =
            folder.begin_base(true, None).map_err(|it| it.error.to_string())?;
        // The cut: what comes now goes to the next increment.
        let cut = last;
        file = next;
        write(&*file, last + 1..=last + 1)?;
        last += 1;
        acknowledged(last);
        for number in 1..=cut {
            base.write_all(format!("{number}\n").as_bytes()).map_err(plain)?;
        }
        base.commit().map_err(|it| it.error.to_string())?;
        folder.finish_rewrite(base_part, part.number, None).map_err(plain)?;
    }
    write(&*file, last + 1..=last + 1)?;
    acknowledged(last + 1);
    Ok(())
}

/// A log that begins with a rewrite: it counts from the rewrite's end on.
fn beginning(disk: &Disk, acknowledged: &mut dyn FnMut(u32)) -> Result<(), String> {
    let plain = |error: std::io::Error| error.to_string();
    let mut folder = open(disk)?;
    let (part, file) = folder.new_increment().map_err(plain)?;
    let NewBase { file: mut base, part: base_part } =
        folder.begin_base(true, None).map_err(|it| it.error.to_string())?;
    write(&*file, 3..=4)?;
    base.write_all(b"1\n2\n").map_err(plain)?;
    base.commit().map_err(|it| it.error.to_string())?;
    folder.finish_rewrite(base_part, part.number, Some(part)).map_err(plain)?;
    acknowledged(4);
    Ok(())
}

/// A single file becomes the base.
fn upgrade(disk: &Disk, acknowledged: &mut dyn FnMut(u32)) -> Result<(), String> {
    acknowledged(2);
    let mut folder = open(disk)?;
    let (file, _) = folder.resume_increment().map_err(|error| error.to_string())?;
    write(&*file, 3..=3)?;
    acknowledged(3);
    Ok(())
}

/// The files before a story: their paths and texts.
type Before = &'static [(&'static str, &'static str)];

const STORIES: &[(&str, Story, Before)] =
    &[("rewrites", rewrites, &[]), ("beginning", beginning, &[]), ("upgrade", upgrade, &[("a.aof", "1\n2\n")])];

/// Checks that a disk loads to all records in order, and to those at least that were acknowledged.
#[track_caller]
fn check(name: &str, step: usize, disk: &Disk, acknowledged: u32) {
    let numbers = load(disk);
    let expected: Vec<u32> = (1..=numbers.len() as u32).collect();
    assert_eq!(numbers, expected, "{name}, call {step}: {:?}", disk.image());
    assert!(
        numbers.len() as u32 >= acknowledged,
        "{name}, call {step}: {numbers:?} of {acknowledged}: {:?}",
        disk.image()
    );
}

#[test]
fn a_folder_loads_after_a_crash_at_any_instant() {
    for (name, story, before) in STORIES {
        let disk = Disk::of(&image(before));
        disk.keep_history();
        // How many records were acknowledged after how many calls.
        let mut known = vec![];
        let of_disk = disk.clone();
        story(&disk, &mut |count| known.push((of_disk.calls(), count)))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let crashes = disk.crashes();
        let mut tried = 0;
        for (step, images) in crashes.iter().enumerate() {
            let acknowledged = known.iter().rev().find(|(calls, _)| *calls <= step + 1).map_or(0, |(_, count)| *count);
            for after in images {
                check(name, step, &Disk::of(after), acknowledged);
                tried += 1;
            }
        }
        assert!(tried > crashes.len(), "{name}: {tried} images after {} calls", crashes.len());
    }
}

/// A call fails, and nothing crashes. What was acknowledged is there, and loads.
#[test]
fn a_folder_loads_after_a_call_that_failed() {
    for (name, story, before) in STORIES {
        let calls = {
            let disk = Disk::of(&image(before));
            story(&disk, &mut |_| {}).unwrap_or_else(|error| panic!("{name}: {error}"));
            disk.calls()
        };
        for failing in 0..calls {
            let disk = Disk::of(&image(before));
            disk.fail(failing);
            let mut acknowledged = 0;
            // Some failures harm nothing, such as that of removing a useless file.
            let _ = story(&disk, &mut |count| acknowledged = count);
            check(name, failing, &Disk::of(&disk.image()), acknowledged);
        }
    }
}
