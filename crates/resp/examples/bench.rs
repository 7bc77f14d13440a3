use ochre_resp::*;
use std::{hint::black_box, time::Instant};
fn main() {
    let one = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n";
    let mut buf: Vec<u8> = one.repeat(400);
    let limits = Limits::default();
    for _ in 0..3 {
        let t = Instant::now();
        let mut n = 0u64;
        let mut spans = Vec::with_capacity(64);
        for _ in 0..5000 {
            let mut p = RequestParser::new();
            let mut off = 0;
            while off < buf.len() {
                if n % 32 == 0 {
                    spans.clear();
                }
                match p.cut(black_box(&mut buf), off, &limits, &mut spans) {
                    Ok(Cut::Request { consumed, .. }) => off += consumed,
                    _ => panic!(),
                }
                n += 1;
            }
        }
        println!("parse GET {:.1} ns", t.elapsed().as_nanos() as f64 / n as f64);
        let mut out = Vec::with_capacity(65536);
        let v = [b'x'; 64];
        let t = Instant::now();
        let n = 2_000_000;
        for _ in 0..n {
            if out.len() > 60000 {
                out.clear()
            }
            ReplyWriter::new(&mut out, black_box(Protocol::Resp2)).bulk(black_box(&v));
        }
        println!("bulk64 {:.1} ns", t.elapsed().as_nanos() as f64 / n as f64);
        let t = Instant::now();
        for i in 0..n {
            if out.len() > 60000 {
                out.clear()
            }
            ReplyWriter::new(&mut out, black_box(Protocol::Resp2)).integer(black_box(i));
        }
        println!("integer {:.1} ns", t.elapsed().as_nanos() as f64 / n as f64);
        let t = Instant::now();
        for i in 0..n {
            if out.len() > 60000 {
                out.clear()
            }
            ReplyWriter::new(&mut out, black_box(Protocol::Resp2)).double(black_box(i as f64 * 0.1));
        }
        println!("double {:.1} ns", t.elapsed().as_nanos() as f64 / n as f64);
    }
}
