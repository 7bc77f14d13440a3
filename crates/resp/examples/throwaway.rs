fn main() {
    let t = std::fs::read_to_string("/tmp/refr/doubles.txt").unwrap();
    let mut bad = 0;
    let mut n = 0;
    for l in t.lines() {
        let (v, x) = l.split_once(' ').unwrap();
        let d: f64 = v.parse().unwrap();
        if v == "-0" {
            continue;
        }
        let got = String::from_utf8(ochre_resp::double::to_text(d)).unwrap();
        n += 1;
        if got != x {
            bad += 1;
            if bad < 15 {
                println!("{v} redis {x} ours {got}");
            }
        }
    }
    println!("{bad} bad of {n}");
}
