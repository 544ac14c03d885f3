//! Times and durations.

use ottl::Value;

use crate::{fails, gives, text};

const NOW: i64 = 1_700_000_000_123_456_789;

#[test]
fn durations() {
    const SECOND: i64 = 1_000_000_000;
    for (written, nanos, shown) in [
        ("3s", 3 * SECOND, "3s"),
        ("333ms", 333_000_000, "333ms"),
        ("1h30m", 5_400 * SECOND, "1h30m0s"),
        ("1.5s", 1_500_000_000, "1.5s"),
        ("-1.5us", -1_500, "-1.5µs"),
        ("2µs3ns", 2_003, "2.003µs"),
        ("90s", 90 * SECOND, "1m30s"),
        ("0", 0, "0s"),
        ("1000000h", 3_600_000_000 * SECOND, "1000000h0m0s"),
        (".5m", 30 * SECOND, "30s"),
    ] {
        gives([
            (&*format!("Duration(\"{written}\")"), Value::Duration(nanos)),
            (&*format!("String(Duration(\"{written}\"))"), text(shown)),
        ]);
    }
    gives([
        ("Hours(Duration(\"90m\"))", Value::Double(1.5)),
        ("Minutes(Duration(\"1h\"))", Value::Double(60.0)),
        ("Seconds(end_time - start_time)", Value::Double(2.5)),
        ("Milliseconds(Duration(\"1s\"))", Value::Int(1_000)),
        ("Microseconds(Duration(\"1ms\"))", Value::Int(1_000)),
        ("Nanoseconds(Duration(\"1ms\"))", Value::Int(1_000_000)),
    ]);
    fails(&[
        ("Duration(\"\")", "such as 1h30m"),
        ("Duration(\"1\")", "such as 1h30m"),
        ("Duration(\"1d\")", "such as 1h30m"),
        ("Duration(\"1h 3m\")", "such as 1h30m"),
        ("Duration(\"99999999h\")", "such as 1h30m"),
        ("Duration(1)", "has to be a string"),
        ("Hours(1)", "has to be a duration, and is an integer"),
        ("Minutes(Now())", "has to be a duration, and is a time"),
        ("Seconds(nil)", "has to be a duration"),
        ("Milliseconds(attributes[\"int\"])", "has to be a duration"),
        ("Microseconds(\"1s\")", "has to be a duration"),
        ("Nanoseconds()", "value is missing"),
    ]);
}

#[test]
fn parts() {
    gives([
        ("Now()", Value::Time(NOW)),
        ("UnixNano(Now())", Value::Int(NOW)),
        ("UnixMicro(Now())", Value::Int(NOW / 1_000)),
        ("UnixMilli(Now())", Value::Int(NOW / 1_000_000)),
        ("UnixSeconds(Now())", Value::Int(1_700_000_000)),
        ("UnixSeconds(Unix(-1, 500000000))", Value::Int(-1)),
        ("Unix(1672527600)", Value::Time(1_672_527_600_000_000_000)),
        ("Unix(1, nanoseconds=5)", Value::Time(1_000_000_005)),
        // 2023-11-14T22:13:20.123456789Z, a Tuesday.
        ("Year(Now())", Value::Int(2023)),
        ("Month(Now())", Value::Int(11)),
        ("Day(Now())", Value::Int(14)),
        ("Hour(Now())", Value::Int(22)),
        ("Minute(Now())", Value::Int(13)),
        ("Second(Now())", Value::Int(20)),
        ("Nanosecond(Now())", Value::Int(123_456_789)),
        ("Weekday(Now())", Value::Int(2)),
        ("TruncateTime(Now(), Duration(\"1s\"))", Value::Time(1_700_000_000_000_000_000)),
        // Counted from the year 1, as Go does.
        ("String(TruncateTime(Now(), Duration(\"10h\")))", text("2023-11-14T22:00:00Z")),
        ("TruncateTime(Now(), Duration(\"0s\"))", Value::Time(NOW)),
    ]);
    let names = "UnixNano UnixMicro UnixMilli UnixSeconds Year Month Day Hour Minute Second Nanosecond Weekday";
    for name in names.split(' ') {
        fails(&[(&*format!("{name}(1)"), "has to be a time, and is an integer")]);
    }
    fails(&[
        ("Now(1)", "Now takes no arguments"),
        ("Unix(\"1\")", "has to be an integer"),
        ("Unix(9223372036854775807)", "too far away"),
        ("TruncateTime(Now(), 1)", "has to be a duration"),
        ("TruncateTime(1, Duration(\"1s\"))", "has to be a time"),
    ]);
}

#[test]
fn formats() {
    for (format, shown) in [
        ("%Y-%m-%d %H:%M:%S", "2023-11-14 22:13:20"),
        ("%y %o %q %b %h %B", "23 11 11 Nov Nov November"),
        ("%e %g %a %A", "14 14 Tue Tuesday"),
        ("%I %l %p %P", "10 10 PM pm"),
        ("%L %f %s", "123 123456 123456789"),
        ("%z %Z %i %j %k %w", "+0000 UTC +00 +00:00 +00:00:00 +000000"),
        ("%D %x", "11/14/23 11/14/23"),
        ("%F %T %X", "2023-11-14 22:13:20 22:13:20"),
        ("%r|%R|%c", "10:13:20 PM|22:13|Tue Nov 14 22:13:20 2023"),
        ("%n%t%%ü", "\n\t%ü"),
    ] {
        gives([(&*format!("FormatTime(Now(), \"{format}\")"), shown)]);
    }
    fails(&[
        ("FormatTime(Now(), \"%v\")", "there is no %v in formats of time"),
        ("FormatTime(Now(), \"a%\")", "a % has nothing after it"),
        ("FormatTime(1, \"%Y\")", "has to be a time"),
        ("FormatTime(Now(), name)", "a string written as it is, and is a path"),
    ]);
}

#[test]
fn reading() {
    for (arguments, shown) in [
        ("\"02/04/2023\", \"%m/%d/%Y\"", "2023-02-04T00:00:00Z"),
        ("\"Feb 15, 2023\", \"%b %d, %Y\"", "2023-02-15T00:00:00Z"),
        ("\"february  5 tue\", \"%B %e %a\"", "1970-02-05T00:00:00Z"),
        ("\"2023-05-26 12:34:56.5\", \"%Y-%m-%d %H:%M:%S\"", "2023-05-26T12:34:56.5Z"),
        ("\"2023-05-26 12:34:56.123\", \"%F %T.%L\"", "2023-05-26T12:34:56.123Z"),
        ("\"2012-11-01T22:08:41+0130\", \"%Y-%m-%dT%H:%M:%S%z\"", "2012-11-01T20:38:41Z"),
        ("\"2012-11-01T22:08:41Z\", \"%Y-%m-%dT%H:%M:%S%j\"", "2012-11-01T22:08:41Z"),
        ("\"2012-11-01T22:08:41-07:00\", \"%Y-%m-%dT%H:%M:%S%j\"", "2012-11-02T05:08:41Z"),
        ("\"12:30 am\", \"%I:%M %p\"", "1970-01-01T00:30:00Z"),
        ("\"12:30 PM\", \"%l:%M %P\"", "1970-01-01T12:30:00Z"),
        ("\"70 UTC\", \"%y %Z\"", "1970-01-01T00:00:00Z"),
        ("\"68\", \"%y\"", "2068-01-01T00:00:00Z"),
        ("\"10\", \"%H\", \"\"", "1970-01-01T10:00:00Z"),
        ("\"10\", \"%H\", locale=\"en\"", "1970-01-01T10:00:00Z"),
    ] {
        gives([(&*format!("String(Time({arguments}))"), shown)]);
    }
    gives([("Time(\"10\", \"%M\") - Time(\"01\", \"%M\") ", Value::Duration(540_000_000_000))]);
    fails(&[
        ("Time(\"x\", \"%Y\")", "does not fit the format at \"x\""),
        ("Time(\"2023x\", \"%Y\")", "goes on after the format: \"x\""),
        ("Time(\"2023-02-30\", \"%F\")", "there is no such date or time"),
        ("Time(\"13 pm\", \"%I %p\")", "there is no such date or time"),
        ("Time(\"2400\", \"%Y\")", "there is no such date or time"),
        ("Time(name, \"%Y\", \"Nowhere/At_All\")", "no such time zone"),
        ("Time(name, \"%Y\", \"\", \"it\")", "is not one of its words"),
        ("Time(1, \"%Y\")", "has to be a string"),
        ("Time(attributes[\"text\"], \"%Y\")", "does not fit the format at \"hello world\""),
    ]);
}
