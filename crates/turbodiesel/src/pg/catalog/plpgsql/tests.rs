//! Bodies of trigger functions, and what is read from them.

use super::*;

/// What a body does, one line for each statement.
fn outline(source: &str) -> String {
    let Some(Body { statements, assigns }) = read(source) else { return "unknown".to_owned() };
    let assigns = match assigns {
        Columns::All => "all".to_owned(),
        Columns::Only(columns) => Vec::from_iter(columns).join(","),
    };
    format!("{assigns} | {}", statements.join(" | "))
}

#[track_caller]
fn check(source: &str, expected: &str) {
    assert_eq!(outline(source), expected, "{source}");
    // Any beginning of it is read or given up, but never a panic.
    for end in (0..source.len()).filter(|end| source.is_char_boundary(*end)) {
        let _ = read(&source[..end]);
    }
}

#[track_caller]
fn unknown(statement: &str) {
    check(&format!("BEGIN {statement} RETURN NEW; END"), "unknown");
}

#[test]
fn the_trigger_of_diesel() {
    check(
        "
BEGIN
IF (
    NEW IS DISTINCT FROM OLD AND
    NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at
) THEN
    NEW.updated_at := current_timestamp;
END IF;
RETURN NEW;
END;
",
        "updated_at | SELECT (
    NEW IS DISTINCT FROM OLD AND
    NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at
) | SELECT current_timestamp",
    );
}

#[test]
fn assignments() {
    check(
        "BEGIN NEW.a := 1; new.b = x'2'; \"new\".\"C d\" := 3; RETURN NEW; END;",
        "C d,a,b | SELECT 1 | SELECT x'2' | SELECT 3",
    );
    check("BEGIN NEW.a[1].b := 2; RETURN NEW; END", "a | SELECT 1 | SELECT 2");
    check("<<top>> BEGIN top.new.a := 1; RETURN NEW; END top", "a | SELECT 1");
    check("BEGIN NEW := OLD; RETURN NEW; END", "all | SELECT OLD");
    check(
        "DECLARE n int; m t.c%TYPE := 3; o CONSTANT varchar(3) NOT NULL DEFAULT f(1, 2); \
           BEGIN n := m + 1; n=-1; RETURN NULL; END",
        " | SELECT 3 | SELECT f(1, 2) | SELECT m + 1 | SELECT -1",
    );
    // A variable may have the name of a statement.
    check(
        "DECLARE perform int; BEGIN perform := 1; exception = 2; RETURN NEW; END",
        " | SELECT 1 | SELECT 2",
    );
    check("BEGIN GET DIAGNOSTICS NEW.n = ROW_COUNT, m := PG_CONTEXT; RETURN NEW; END", "n | ");
}

#[test]
fn what_is_returned() {
    check("BEGIN RETURN NEW; END", " | ");
    check("BEGIN RETURN NULL; END", " | ");
    check("BEGIN RETURN OLD; END", "all | ");
    check("BEGIN RETURN coalesce(NEW, OLD); END", "all | SELECT coalesce(NEW, OLD)");
    check("BEGIN RETURN NEXT x; END", "unknown");
    check("BEGIN RETURN QUERY SELECT 1; END", "unknown");
    check("BEGIN RETURN; END", "unknown");
}

#[test]
fn statements_of_sql() {
    check(
        "BEGIN INSERT INTO log VALUES (NEW.id, TG_OP); RETURN NULL; END",
        " | INSERT INTO log VALUES (NEW.id, TG_OP)",
    );
    check(
        "BEGIN SELECT max(n), 1 INTO STRICT v, NEW.n FROM t; RETURN NEW; END",
        "n | SELECT max(n), 1 FROM t",
    );
    check("BEGIN SELECT * FROM t INTO NEW; RETURN NEW; END", "all | SELECT * FROM t ");
    check(
        "BEGIN INSERT INTO t VALUES (1) RETURNING id INTO new.id; RETURN NEW; END",
        "id | INSERT INTO t VALUES (1) RETURNING id ",
    );
    check(
        "BEGIN WITH w AS (INSERT INTO t SELECT 1 RETURNING id) SELECT id INTO v FROM w; \
           RETURN NEW; END",
        " | WITH w AS (INSERT INTO t SELECT 1 RETURNING id) SELECT id FROM w",
    );
    check("BEGIN PERFORM pg_notify('a', 'b;'); RETURN NULL; END", " | SELECT pg_notify('a', 'b;')");
    check(
        "BEGIN UPDATE t SET a = ';' /* ; */ WHERE b -- ;
           = 1; RETURN NULL; END",
        " | UPDATE t SET a = ';' /* ; */ WHERE b -- ;
           = 1",
    );
}

#[test]
fn branches_and_loops() {
    check(
        "BEGIN IF TG_OP = 'DELETE' THEN DELETE FROM a; RETURN OLD; ELSIF x THEN NULL; \
           ELSE NEW.z := 1; END IF; RETURN NEW; END",
        "all | SELECT TG_OP = 'DELETE' | DELETE FROM a | SELECT x | SELECT 1",
    );
    check(
        "BEGIN CASE x WHEN 1, 2 THEN NEW.a := 1; ELSE NULL; END CASE; \
           CASE WHEN y THEN NEW.b := CASE WHEN z THEN 1 END; END CASE; RETURN NEW; END",
        "a,b | SELECT x | SELECT 1 | SELECT 2 | SELECT 1 | SELECT y \
           | SELECT CASE WHEN z THEN 1 END",
    );
    check(
        "BEGIN <<l>> LOOP EXIT l WHEN f(1); CONTINUE; END LOOP l; WHILE a LOOP EXIT; END LOOP; \
           RETURN NEW; END",
        " | SELECT f(1) | SELECT a",
    );
    check(
        "BEGIN FOR i IN REVERSE f(1)..10 BY g(2) LOOP NEW.a := i; END LOOP; RETURN NEW; END",
        "a | SELECT f(1) | SELECT 10 | SELECT g(2) | SELECT i",
    );
    check(
        "BEGIN FOR r IN UPDATE t SET a = 1 RETURNING b LOOP NULL; END LOOP; \
           FOREACH new.x SLICE 1 IN ARRAY y LOOP NULL; END LOOP; RETURN NEW; END",
        "x | UPDATE t SET a = 1 RETURNING b | SELECT y",
    );
    check(
        "BEGIN BEGIN NEW.a := 1; EXCEPTION WHEN unique_violation OR SQLSTATE '22012' THEN \
           DELETE FROM t; END; RETURN NEW; END",
        "a | SELECT 1 | DELETE FROM t",
    );
}

#[test]
fn errors_and_checks() {
    check(
        "BEGIN RAISE; RAISE NOTICE 'a % %', f(1), b USING HINT = 'x', DETAIL := i();
         RAISE EXCEPTION division_by_zero; RAISE SQLSTATE '22012' USING message = h();
         RAISE 'plain'; RAISE EXCEPTION USING ERRCODE = g(1); ASSERT f(2), 'no'; RETURN NEW; END",
        " | SELECT f(1) | SELECT b | SELECT 'x' | SELECT i() | SELECT h() | SELECT g(1) \
         | SELECT f(2) | SELECT 'no'",
    );
}

#[test]
fn what_is_unknown() {
    for statement in [
        "EXECUTE 'DELETE FROM t';",
        "EXECUTE format('DELETE FROM %I', TG_TABLE_NAME) USING NEW;",
        "CALL p();",
        "DO 'x';",
        "OPEN c;",
        "FETCH c INTO NEW;",
        "COMMIT;",
        "ROLLBACK;",
        "FOR r IN EXECUTE 'x' LOOP NULL; END LOOP;",
        "FOR r IN c LOOP NULL; END LOOP;",
        "CREATE TABLE t ();",
        "SET LOCAL search_path = x;",
        "LOCK TABLE t;",
        "frobnicate;",
        "NEW.a := ;",
        "NEW.a := f(1;",
        "NEW.a := f)1(;",
        "IF x THEN NULL;",
        "NEW.a == 1;",
        "INSERT INTO t VALUES ('open);",
        "/* open",
        "PERFORM U&'d\\0061t';",
        "; ;",
    ] {
        unknown(statement);
    }
    check("DECLARE c CURSOR FOR SELECT f(); BEGIN RETURN NEW; END", "unknown");
    check("DECLARE n ALIAS FOR new; BEGIN n.x := 1; RETURN NEW; END", "unknown");
    check("#variable_conflict use_column\nBEGIN RETURN NEW; END", "unknown");
    check("BEGIN RETURN NEW; END; SELECT 1", "unknown");
    check("", "unknown");
    let deep = format!("{}{}", "BEGIN ".repeat(100_000), "END; ".repeat(100_000));
    assert_eq!(read(&deep), None);
}
