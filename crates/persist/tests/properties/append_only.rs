//! Append-only files: what was encoded is read back, and no damage passes for data.

use ochre_persist::{
    aof::{
        encode::Encoder,
        manifest::Manifest,
        read::{AofReader, Record},
    },
    fault::Fault,
    rdb::stream::Stream,
};

/// What was done at once: the time, and for each command its database and its words.
pub type Written = (i64, Vec<(usize, Vec<Vec<u8>>)>);

/// Encodes records into a file, with a block after each, and the offset behind each.
pub fn encode(records: &[Written], times: bool, checksums: bool) -> (Vec<u8>, Vec<usize>) {
    let mut encoder = Encoder::new(times, checksums);
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    encoder.begin(&mut out);
    for (time_ms, commands) in records {
        let commands: Vec<(usize, Vec<&[u8]>)> =
            commands.iter().map(|(database, words)| (*database, words.iter().map(Vec::as_slice).collect())).collect();
        encoder.record(&mut out, *time_ms, &commands);
        encoder.end_block(&mut out);
        ends.push(out.len());
    }
    (out, ends)
}

/// Reads a file up to its end or a fault. Returns the records, the offset up to which the file is whole, and the fault.
pub fn read(file: &[u8]) -> (Vec<Record>, u64, Option<Fault>) {
    let mut reader = AofReader::new(Stream::new(file));
    let mut records = Vec::new();
    loop {
        match reader.read_record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, reader.whole_until(), None),
            Err(fault) => return (records, reader.whole_until(), Some(fault)),
        }
    }
}

/// Returns the commands of records with their databases, without SELECT.
pub fn commands(records: &[Record]) -> Vec<Vec<(usize, Vec<Vec<u8>>)>> {
    let mut database = 0;
    let mut all = Vec::new();
    for record in records {
        let mut commands = Vec::new();
        for words in &record.commands {
            match &**words {
                [name, number] if name == b"SELECT" => {
                    database = str::from_utf8(number).unwrap().parse().unwrap();
                }
                _ => commands.push((database, words.clone())),
            }
        }
        if !commands.is_empty() {
            all.push(commands);
        }
    }
    all
}

/// Reads any bytes as a file and as a manifest.
pub fn any(bytes: &[u8]) {
    let (records, whole, fault) = read(bytes);
    assert!(whole <= bytes.len() as u64);
    if fault.is_none() {
        assert_eq!(whole, bytes.len() as u64);
    }
    // The part that is whole is read without a fault, and to the same records.
    let (again, _, fault) = read(&bytes[..whole as usize]);
    assert!(fault.is_none(), "{fault:?}");
    assert!(again.len() >= records.len() && again[..records.len()] == records[..]);
    if let Ok(manifest) = Manifest::parse(bytes)
        && manifest != Manifest::default()
    {
        assert_eq!(Manifest::parse(&manifest.text()), Ok(manifest));
    }
}
