//! Comparisons and arithmetic.

use ottl::Value;

use crate::{fails, gives, holds};

#[test]
fn comparisons() {
    holds(&[
        ("1 == 1.0", true),
        ("attributes[\"int\"] == 200.0", true),
        ("attributes[\"double\"] > 1", true),
        ("1 < 1.5", true),
        ("2 <= 2", true),
        ("2 >= 3", false),
        ("\"a\" < \"b\"", true),
        ("\"a\" == 1", false),
        ("\"a\" != 1", true),
        ("\"1\" < 2", false),
        ("\"1\" >= 2", false),
        ("false < true", true),
        ("true >= true", true),
        ("true == 1", false),
        ("0x0102 == attributes[\"bytes\"]", true),
        ("0x0102 < 0x02", true),
        ("0x61 == \"a\"", false),
        ("nil == nil", true),
        ("nil <= nil", true),
        ("nil < nil", false),
        ("attributes[\"absent\"] == nil", true),
        ("attributes[\"text\"] != nil", true),
        ("nil == attributes[\"text\"]", false),
        ("attributes[\"absent\"] < 1", false),
        ("attributes[\"absent\"] != 1", true),
        ("start_time < end_time", true),
        ("end_time - start_time > Duration(\"2s\")", true),
        ("end_time - start_time == Duration(\"2500ms\")", true),
        ("start_time == 1000000000", false),
        ("attributes[\"list\"] == [\"a\", \"b\", \"c\"]", true),
        ("attributes[\"list\"] != [\"a\", \"c\", \"b\"]", true),
        ("attributes[\"list\"] < [\"z\"]", false),
        ("attributes[\"map\"] == {\"z\": \"s\", \"x\": {\"y\": 1}}", true),
        ("attributes[\"map\"] == {\"z\": \"s\"}", false),
        ("attributes[\"map\"] != {\"z\": \"s\"}", true),
        ("attributes[\"map\"] == attributes[\"list\"]", false),
        ("trace_id == TraceID(\"0102030405060708090a0b0c0d0e0f10\")", true),
        ("status.code == STATUS_CODE_ERROR", true),
        ("kind == SPAN_KIND_SERVER", true),
        ("kind != SPAN_KIND_CLIENT", true),
    ]);
}

#[test]
fn arithmetic() {
    gives([
        ("1 + 2 * 3", Value::Int(7)),
        ("(1 + 2) * 3", Value::Int(9)),
        ("10 - 2 - 3", Value::Int(5)),
        ("7 / 2", Value::Int(3)),
        ("-7 / 2", Value::Int(-3)),
        ("7 / 2.0", Value::Double(3.5)),
        ("2 * 1.5", Value::Double(3.0)),
        ("1.5 + attributes[\"int\"]", Value::Double(201.5)),
        ("-(1 + 2)", Value::Int(-3)),
        ("- attributes[\"double\"]", Value::Double(-1.5)),
        ("+attributes[\"int\"]-1", Value::Int(199)),
        ("1-1", Value::Int(0)),
        ("9223372036854775807 + 1", Value::Int(i64::MIN)),
        ("end_time - start_time", Value::Duration(2_500_000_000)),
        ("start_time + Duration(\"1s\")", Value::Time(2_000_000_000)),
        ("Duration(\"1s\") + start_time", Value::Time(2_000_000_000)),
        ("start_time - Duration(\"1s\")", Value::Time(0)),
        ("Duration(\"1s\") + Duration(\"1s\")", Value::Duration(2_000_000_000)),
        ("Duration(\"1s\") - Duration(\"2s\")", Value::Duration(-1_000_000_000)),
        ("end_time_unix_nano - start_time_unix_nano", Value::Int(2_500_000_000)),
    ]);
    fails(&[
        ("1 / 0", "division by zero"),
        ("1 / attributes[\"zero\"]", "division by zero"),
        ("1.5 / 0.0", "division by zero"),
        ("1 + \"a\"", "+ takes numbers and times, not a string"),
        ("attributes[\"text\"] * 2", "* does not go between a string and an integer"),
        ("attributes[\"absent\"] + 1", "+ does not go between nil and an integer"),
        ("start_time + end_time", "+ does not go between a time and a time"),
        ("Duration(\"1s\") - start_time", "- does not go between a duration and a time"),
        ("Duration(\"1s\") * 2", "* does not go between a duration and an integer"),
        ("-\"a\"", "a sign goes before a number, not a string"),
        ("-attributes[\"text\"]", "- takes a number, not a string"),
    ]);
}
