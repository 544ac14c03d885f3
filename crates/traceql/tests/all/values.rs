//! Arithmetic and comparisons that constants and spans' values share.

use traceql::{ArithmeticOp, CompareOp, Kind, MathOp, Static, Status};

use Static::{Bool, Duration, Float, Int, Nil};

fn text(text: &str) -> Static {
    Static::String(text.to_owned())
}

#[test]
fn arithmetic() {
    use ArithmeticOp::{Add, Divide, Modulo, Multiply, Power, Subtract};
    for (left, op, right, result) in [
        (Int(1), Add, Int(2), Some(Int(3))),
        (Int(1), Add, Float(0.5), Some(Float(1.5))),
        (Int(7), Divide, Int(2), Some(Int(3))),
        (Int(-7), Divide, Int(2), Some(Int(-3))),
        (Int(7), Divide, Float(2.0), Some(Float(3.5))),
        (Int(-7), Modulo, Int(4), Some(Int(-3))),
        (Float(7.5), Modulo, Int(2), Some(Float(1.5))),
        (Int(1), Divide, Int(0), None),
        (Int(1), Modulo, Int(0), None),
        (Duration(1), Divide, Int(0), Some(Float(f64::INFINITY))),
        (Float(1.0), Divide, Int(0), Some(Float(f64::INFINITY))),
        (Int(i64::MIN), Divide, Int(-1), Some(Float(9.223_372_036_854_776e18))),
        (Int(i64::MIN), Modulo, Int(-1), Some(Int(0))),
        (Int(i64::MAX), Add, Int(1), Some(Float(9.223_372_036_854_776e18))),
        (Int(2), Power, Int(10), Some(Int(1024))),
        (Int(10), Power, Int(2), Some(Int(100))),
        (Int(2), Power, Int(-1), Some(Float(0.5))),
        (Int(2), Power, Int(64), Some(Float(18446744073709551616.0))),
        (Int(0), Power, Int(0), Some(Int(1))),
        (Int(0), Power, Int(i64::MAX), Some(Int(0))),
        (Int(1), Power, Int(i64::MAX), Some(Int(1))),
        (Int(-1), Power, Int(i64::MAX), Some(Int(-1))),
        (Int(-1), Power, Int(-2), Some(Int(1))),
        (Int(-2), Power, Int(3), Some(Int(-8))),
        (Float(9.0), Power, Float(0.5), Some(Float(3.0))),
        (Duration(5), Add, Duration(6), Some(Duration(11))),
        (Duration(5), Subtract, Duration(6), Some(Duration(-1))),
        (Duration(5), Multiply, Int(2), Some(Duration(10))),
        (Int(2), Multiply, Duration(5), Some(Duration(10))),
        (Duration(5), Add, Int(2), Some(Float(7.0))),
        (Duration(6), Divide, Duration(4), Some(Float(1.5))),
        (text("a"), Add, text("b"), None),
        (Nil, Add, Int(1), None),
        (Bool(true), Add, Int(1), None),
    ] {
        assert_eq!(left.arithmetic(op, &right), result, "{left} {} {right}", op.symbol());
    }
}

#[test]
fn negation() {
    assert_eq!(Int(5).negated(), Some(Int(-5)));
    assert_eq!(Int(i64::MIN).negated(), Some(Float(9.223_372_036_854_776e18)));
    assert_eq!(Duration(5).negated(), Some(Duration(-5)));
    assert_eq!(Float(0.5).negated(), Some(Float(-0.5)));
    assert_eq!(Bool(true).negated(), None);
}

#[test]
fn comparisons() {
    use CompareOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let holding = |left: &Static, right: &Static| -> Vec<CompareOp> {
        CompareOp::ALL.into_iter().filter(|op| left.compare(*op, right)).collect()
    };
    let less = vec![NotEqual, Less, LessOrEqual];
    let greater = vec![NotEqual, Greater, GreaterOrEqual];
    let equal = vec![Equal, LessOrEqual, GreaterOrEqual];
    for (left, right, expected) in [
        (Int(1), Int(2), less.clone()),
        (Int(2), Int(1), greater.clone()),
        (Int(1), Float(1.0), equal.clone()),
        (Duration(1_000), Int(1_000), equal.clone()),
        (Float(0.5), Duration(1), less.clone()),
        (Int(i64::MAX - 1), Int(i64::MAX), less.clone()),
        (text("a"), text("b"), less.clone()),
        (text("Z"), text("a"), less.clone()),
        (text("z"), text("é"), less.clone()),
        (text("10"), text("9"), less),
        (text("a"), text(""), greater),
        (text("a"), text("a"), equal),
        (Bool(true), Bool(true), vec![Equal]),
        (Bool(true), Bool(false), vec![NotEqual]),
        (Static::Status(Status::Ok), Static::Status(Status::Ok), vec![Equal]),
        (Static::Status(Status::Ok), Static::Status(Status::Error), vec![NotEqual]),
        (Static::Kind(Kind::Server), Static::Kind(Kind::Client), vec![NotEqual]),
        // Types that do not go together satisfy nothing.
        (Int(1), text("1"), vec![]),
        (Bool(true), Int(1), vec![]),
        (Static::Status(Status::Ok), Static::Kind(Kind::Server), vec![]),
        (Nil, Nil, vec![]),
        (Nil, Int(1), vec![]),
        (Float(f64::NAN), Float(f64::NAN), vec![]),
    ] {
        let holds: Vec<_> = holding(&left, &right);
        let same = holds.len() == expected.len() && expected.iter().all(|op| holds.contains(op));
        assert!(same, "{left} to {right}: {holds:?}");
        for op in CompareOp::ALL {
            assert_eq!(left.compare(op, &right), right.compare(op.flipped(), &left));
        }
    }
}

#[test]
fn points() {
    assert_eq!(MathOp::Add.apply(1.0, 2.0), 3.0);
    assert_eq!(MathOp::Subtract.apply(1.0, 2.0), -1.0);
    assert_eq!(MathOp::Multiply.apply(3.0, 2.0), 6.0);
    assert_eq!(MathOp::Divide.apply(3.0, 2.0), 1.5);
    assert!(MathOp::Divide.apply(1.0, 0.0).is_nan());
    assert!(MathOp::Add.apply(f64::NAN, 1.0).is_nan());
}
