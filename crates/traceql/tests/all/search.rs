//! Searches that are accepted, and how they print.

use crate::print_as;

#[test]
fn filters() {
    print_as(&[
        ("{}", "{ true }"),
        ("{ }", "{ true }"),
        ("{true}", "{ true }"),
        ("{ false }", "{ false }"),
        ("{.a}", "{ .a }"),
        ("{!.a}", "{ !.a }"),
        ("{ .a = 1 }", "{ .a = 1 }"),
        ("{.a=1}", "{ .a = 1 }"),
        ("{ 1 = .a }", "{ 1 = .a }"),
        ("{ .a = .b }", "{ .a = .b }"),
        ("{ .a != `x` }", "{ .a != `x` }"),
        (r#"{ .a = "x" }"#, "{ .a = `x` }"),
        (r#"{ .a = "b`c" }"#, r#"{ .a = "b`c" }"#),
        ("{ .a = true }", "{ .a = true }"),
        ("{ .a = false || .b }", "{ (.a = false) || .b }"),
        ("{ .a > 1.5 }", "{ .a > 1.5 }"),
        ("{ .a >= -1 }", "{ .a >= -1 }"),
        ("{ .a < -1.5 && .a <= - 2ms }", "{ (.a < -1.5) && (.a <= -2ms) }"),
        ("{ duration > 100ms }", "{ duration > 100ms }"),
        ("{ span:duration > 1h30m }", "{ duration > 1h30m0s }"),
        ("{ trace:duration > 1d }", "{ traceDuration > 24h0m0s }"),
        ("{ traceDuration > 100 }", "{ traceDuration > 100 }"),
        ("{ duration > .limit }", "{ duration > .limit }"),
        ("{ status = error }", "{ status = error }"),
        ("{ span:status != ok }", "{ status != ok }"),
        ("{ status = .expected }", "{ status = .expected }"),
        ("{ unset = status }", "{ unset = status }"),
        ("{ kind = server }", "{ kind = server }"),
        (
            "{ kind != unspecified && kind != internal }",
            "{ (kind != unspecified) && (kind != internal) }",
        ),
        (
            "{ kind = client || kind = producer || kind = consumer }",
            "{ (kind = client) || (kind = producer) || (kind = consumer) }",
        ),
        ("{ name = `GET /` }", "{ name = `GET /` }"),
        ("{ span:name =~ `GET.*` }", "{ name =~ `GET.*` }"),
        ("{ .a !~ `x|y` }", "{ .a !~ `x|y` }"),
        ("{ `abc` =~ `a.c` }", "{ true }"),
        ("{ `abc` !~ `a.c` }", "{ false }"),
        ("{ statusMessage = `timeout` }", "{ statusMessage = `timeout` }"),
        ("{ span:statusMessage =~ `time.*` }", "{ statusMessage =~ `time.*` }"),
        (
            "{ rootName = `x` && rootServiceName = `y` }",
            "{ (rootName = `x`) && (rootServiceName = `y`) }",
        ),
        (
            "{ trace:rootName = `x` && trace:rootService = `y` }",
            "{ (rootName = `x`) && (rootServiceName = `y`) }",
        ),
        ("{ trace:id = `0af7` }", "{ trace:id = `0af7` }"),
        (
            "{ span:id = `a` || span:parentID = `b` }",
            "{ (span:id = `a`) || (span:parentID = `b`) }",
        ),
        ("{ span:childCount > 3 }", "{ span:childCount > 3 }"),
        (
            "{ event:name = `exception` && event:timeSinceStart > 2ms }",
            "{ (event:name = `exception`) && (event:timeSinceStart > 2ms) }",
        ),
        (
            "{ link:traceID = `a` && link:spanID != `b` }",
            "{ (link:traceID = `a`) && (link:spanID != `b`) }",
        ),
        (
            "{ instrumentation:name = `a` && instrumentation:version < `b` }",
            "{ (instrumentation:name = `a`) && (instrumentation:version < `b`) }",
        ),
        (
            "{ nestedSetParent < 0 && nestedSetLeft > 1 && nestedSetRight != 2 }",
            "{ (nestedSetParent < 0) && (nestedSetLeft > 1) && (nestedSetRight != 2) }",
        ),
        ("{ .name = `x` }", "{ .name = `x` }"),
        ("{ span.a = resource.b }", "{ span.a = resource.b }"),
        (
            "{ event.a = 1 && link.b = 2 && instrumentation.c = 3 }",
            "{ (event.a = 1) && (link.b = 2) && (instrumentation.c = 3) }",
        ),
        ("{ .a != nil }", "{ .a != nil }"),
        ("{ nil != .a }", "{ .a != nil }"),
        ("{ .a = nil }", "{ .a = nil }"),
        ("{ nil = .a }", "{ .a = nil }"),
        ("{ event.a = nil || link.a != nil }", "{ (event.a = nil) || (link.a != nil) }"),
        ("{ name != nil }", "{ name != nil }"),
        ("{ resource.service.name != nil }", "{ resource.service.name != nil }"),
        ("{ span.service.name = nil }", "{ span.service.name = nil }"),
        ("{ .service.name = nil }", "{ .service.name = nil }"),
        ("{ nil = nil }", "{ false }"),
        ("{ nil != nil }", "{ false }"),
        ("{ .a + .b }", "{ .a + .b }"),
        ("{ -.a }", "{ -.a }"),
        ("{ .a + .b = `x` }", "{ (.a + .b) = `x` }"),
        ("{ .a = -.b }", "{ .a = (-.b) }"),
        ("{ (.a) = (1) }", "{ .a = 1 }"),
        ("{ .a = 1 = true }", "{ (.a = 1) = true }"),
        ("{ (.a = 1) != (.b = 2) }", "{ (.a = 1) != (.b = 2) }"),
        ("{ name < `b` && name >= `a` }", "{ (name < `b`) && (name >= `a`) }"),
        (
            "{ .a = minInt || .a = maxInt }",
            "{ (.a = -9223372036854775808) || (.a = 9223372036854775807) }",
        ),
        ("// all\n{ /* spans */ } // of it", "{ true }"),
    ]);
}

#[test]
fn constants_are_folded() {
    print_as(&[
        ("{ 1 = 1 }", "{ true }"),
        ("{ 1 != 1 || `a` < `b` }", "{ true }"),
        ("{ !true }", "{ false }"),
        ("{ .a = 1 + 2 * 3 }", "{ .a = 7 }"),
        ("{ .a = 7 / 2 }", "{ .a = 3 }"),
        ("{ .a = -7 / 2 }", "{ .a = -3 }"),
        ("{ .a = -7 % 4 }", "{ .a = -3 }"),
        ("{ .a = 7 / 2.0 }", "{ .a = 3.5 }"),
        ("{ .a = 2 ^ 10 }", "{ .a = 1024 }"),
        ("{ .a = 10 ^ 2 }", "{ .a = 100 }"),
        ("{ .a = 2 ^ -1 }", "{ .a = 0.5 }"),
        ("{ .a = 2 ^ 3 ^ 2 }", "{ .a = 512 }"),
        ("{ .a = -2 ^ 2 }", "{ .a = 4 }"),
        ("{ .a = 9.0 ^ 0.5 }", "{ .a = 3.0 }"),
        ("{ duration > 1s + 500ms }", "{ duration > 1.5s }"),
        ("{ duration > 2 * 3s }", "{ duration > 6s }"),
        ("{ duration > 1s * 2 }", "{ duration > 2s }"),
        ("{ .a = -(1 + 1) }", "{ .a = -2 }"),
        ("{ .a = -(1s - 2s) }", "{ .a = 1s }"),
        ("{ .a = maxInt + 1 }", "{ .a = 9.223372036854776e18 }"),
        // What is no number stays for the run to find out.
        ("{ .a = 1 / 0 }", "{ .a = (1 / 0) }"),
        ("{ .a = 1 % 0 }", "{ .a = (1 % 0) }"),
        ("{ .a = 1.0 / 0 }", "{ .a = (1.0 / 0) }"),
        ("{ 1s = 1000000000 }", "{ true }"),
        ("{ 1 < 1.5 }", "{ true }"),
        ("{ true && (false || true) }", "{ true }"),
        ("{ ok = ok && server != client }", "{ true }"),
        ("{ true && .a }", "{ true && .a }"),
    ]);
}

#[test]
fn spansets() {
    print_as(&[
        ("{.a}&&{.b}", "{ .a } && { .b }"),
        ("{.a} || {.b}", "{ .a } || { .b }"),
        ("{.a} > {.b}", "{ .a } > { .b }"),
        ("{.a} >> {.b}", "{ .a } >> { .b }"),
        ("{.a} < {.b}", "{ .a } < { .b }"),
        ("{.a} << {.b}", "{ .a } << { .b }"),
        ("{.a} ~ {.b}", "{ .a } ~ { .b }"),
        ("{.a} !> {.b}", "{ .a } !> { .b }"),
        ("{.a}!>>{.b}", "{ .a } !>> { .b }"),
        ("{.a} !< {.b}", "{ .a } !< { .b }"),
        ("{.a} !<< {.b}", "{ .a } !<< { .b }"),
        ("{.a} !~ {.b}", "{ .a } !~ { .b }"),
        ("{.a} &> {.b}", "{ .a } &> { .b }"),
        ("{.a} &>> {.b}", "{ .a } &>> { .b }"),
        ("{.a}&<{.b}", "{ .a } &< { .b }"),
        ("{.a} &<< {.b}", "{ .a } &<< { .b }"),
        ("{.a} &~ {.b}", "{ .a } &~ { .b }"),
        ("({.a})", "{ .a }"),
        ("((({.a}) > {.b}))", "{ .a } > { .b }"),
        ("{} !< {}", "{ true } !< { true }"),
        ("{.a} && ({.b} && {.c})", "{ .a } && { .b } && { .c }"),
        ("({.a} || {.b}) || {.c}", "{ .a } || { .b } || { .c }"),
        ("({.a} || {.b}) && {.c}", "({ .a } || { .b }) && { .c }"),
    ]);
}

#[test]
fn pipelines() {
    print_as(&[
        ("{} | count() > 2", "{ true } | count() > 2"),
        ("{} | count()=2", "{ true } | count() = 2"),
        ("{} | count() != 2", "{ true } | count() != 2"),
        ("{} | count() <= 2.5", "{ true } | count() <= 2.5"),
        ("{} | avg(duration) >= 1s", "{ true } | avg(duration) >= 1s"),
        ("{} | min(.a) < -1", "{ true } | min(.a) < -1"),
        ("{} | max(span.a + 1) > 1", "{ true } | max(span.a + 1) > 1"),
        ("{} | sum(event:timeSinceStart) > 1m", "{ true } | sum(event:timeSinceStart) > 1m0s"),
        ("{} | avg(-.a) > 0", "{ true } | avg(-.a) > 0"),
        ("{} | count() < 2 / 6", "{ true } | count() < 0"),
        ("{} | count() > (2 + 3)", "{ true } | count() > 5"),
        ("count() > 1 | {.a}", "count() > 1 | { .a }"),
        ("count() > 1", "count() > 1"),
        ("{} | count() > 1 | {.a} | avg(.b) < 2", "{ true } | count() > 1 | { .a } | avg(.b) < 2"),
        ("{} | {.a} > {.b} | {.c}", "{ true } | { .a } > { .b } | { .c }"),
        ("{} | by(.a)", "{ true } | by(.a)"),
        ("by(resource.service.name)", "by(resource.service.name)"),
        ("{} | by(.a = 1) | count() > 1", "{ true } | by(.a = 1) | count() > 1"),
        ("{} | by(.a + .b) | coalesce()", "{ true } | by(.a + .b) | coalesce()"),
        ("{} | coalesce()", "{ true } | coalesce()"),
        ("{} | select(.a)", "{ true } | select(.a)"),
        ("select(name)", "select(name)"),
        ("{} | select(.a, span.b, name,span:id)", "{ true } | select(.a, span.b, name, span:id)"),
        (
            "{} | select(event.exception.*) with(most_recent=true)",
            "{ true } | select(event.exception.*) with(most_recent=true)",
        ),
        (
            "({.a} &>> {.b}) || ({.a}) | select(status, resource.service.name, name, nestedSetParent, nestedSetLeft, nestedSetRight)",
            "({ .a } &>> { .b }) || { .a } | select(status, resource.service.name, name, nestedSetParent, nestedSetLeft, nestedSetRight)",
        ),
    ]);
}

#[test]
fn pipelines_in_parentheses() {
    print_as(&[
        ("({} | count() > 1)", "{ true } | count() > 1"),
        ("(({} | count() > 1))", "{ true } | count() > 1"),
        (
            "({} | count() > 1) && ({.a} | count() > 2)",
            "({ true } | count() > 1) && ({ .a } | count() > 2)",
        ),
        ("({} | by(.a)) || ({.a} | {.b})", "({ true } | by(.a)) || ({ .a } | { .b })"),
        ("({} | count() > 1) >> ({.a})", "({ true } | count() > 1) >> ({ .a })"),
        ("({.a}) !~ ({} | count() > 1)", "({ .a }) !~ ({ true } | count() > 1)"),
        (
            "({.a} | {.b}) && (({.c} | {.d}) > ({.e} | {.f}))",
            "({ .a } | { .b }) && (({ .c } | { .d }) > ({ .e } | { .f }))",
        ),
        ("(count() > 1) && ({.a})", "(count() > 1) && ({ .a })"),
        ("({.a} | {.b}) && ({.c}) && ({.d})", "({ .a } | { .b }) && ({ .c }) && ({ .d })"),
    ]);
}

/// What the language has beyond Tempo's.
#[test]
fn extensions() {
    print_as(&[
        ("{ parent.a = 1 }", "{ parent.a = 1 }"),
        ("{ parent.span.a = .a }", "{ parent.span.a = .a }"),
        (
            "{ parent.resource.service.name != resource.service.name }",
            "{ parent.resource.service.name != resource.service.name }",
        ),
        ("{ parent.resource.service.name = nil }", "{ parent.resource.service.name = nil }"),
        ("{ parent.name = `x` }", "{ parent.name = `x` }"),
        ("{ parent.event.a = 1 }", "{ parent.event.a = 1 }"),
        ("{ parent = nil }", "{ parent = nil }"),
        ("{ nil != parent && .a }", "{ (parent != nil) && .a }"),
        (
            "{} | by(parent.span.a) | select(parent.a)",
            "{ true } | by(parent.span.a) | select(parent.a)",
        ),
        ("!{.a}", "!{ .a }"),
        ("! { .a }", "!{ .a }"),
        ("{.a} && !{.b}", "{ .a } && !{ .b }"),
        ("{.a}&&!{.b}", "{ .a } && !{ .b }"),
        ("!{.a} && {.b}", "!{ .a } && { .b }"),
        ("!({.a} > {.b})", "!({ .a } > { .b })"),
        ("!({.b} | count() > 2)", "!({ .b } | count() > 2)"),
        ("{.a} && !({.b} | count() > 2)", "{ .a } && !({ .b } | count() > 2)"),
        (
            "{.a} && !({.b} | count() > 2) | select(.c)",
            "{ .a } && !({ .b } | count() > 2) | select(.c)",
        ),
        ("({.a} | {.b}) && !{.c}", "({ .a } | { .b }) && !{ .c }"),
        ("!!{.a}", "!!{ .a }"),
        ("!({.a} && {.b}) || {.c}", "!({ .a } && { .b }) || { .c }"),
        ("{} | !{.a}", "{ true } | !{ .a }"),
        ("{.a} > !{.b}", "{ .a } > !{ .b }"),
        (
            "{} | max(duration) > 2 * avg(duration)",
            "{ true } | max(duration) > (2 * avg(duration))",
        ),
        ("{} | count() > sum(.x) + 1", "{ true } | count() > (sum(.x) + 1)"),
        ("{} | 2 < count()", "{ true } | 2 < count()"),
        ("{} | -count() < -2", "{ true } | (-count()) < -2"),
        ("{} | -(count() + 1) < -2", "{ true } | (-(count() + 1)) < -2"),
        ("{} | (count() + 1) * 2 > 3", "{ true } | ((count() + 1) * 2) > 3"),
        ("(count() + 1) * 2 > 3", "((count() + 1) * 2) > 3"),
        ("{} | max(.a) - min(.a) = 0", "{ true } | (max(.a) - min(.a)) = 0"),
        ("{} | avg(.a) = min(.a) % 3 ^ 2", "{ true } | avg(.a) = (min(.a) % 9)"),
    ]);
}
