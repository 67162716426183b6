//! The common mistakes do not compile, and the compiler says what to do.

#[test]
fn mistakes_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/keyset/compile_fail/*.rs");
}
