//! Checks.
use ppu_model::cases;
fn main() {
    let which = std::env::args().nth(1).unwrap();
    let list = match which.as_str() {
        "s" => cases::small(),
        "l" => cases::large(),
        _ => cases::weakened(),
    };
    for case in list {
        let r = case.run(6_000_000);
        println!(
            "{} {:?} {} | {} {:?} complete {} stuck {:?}",
            case.bounds.variant.name(),
            case.bounds.class,
            case.bounds.summary(),
            r.states,
            r.time,
            r.is_complete,
            r.stuck
        );
        for (n, w) in &r.violations {
            println!("   {n} after {}", w.len());
            if which != "w" || std::env::args().nth(2).is_some() {
                for a in w {
                    println!("      {a:?}");
                }
            }
        }
    }
}
