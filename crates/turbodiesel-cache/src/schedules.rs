//! The protocol under every order of its steps that shuttle comes up with.
//!
//! These are the only tests that decide which thread takes the next step, on the real stamps, marks
//! and flights. Where two threads meet, all orders are run; where more do, a few thousand are drawn
//! by three different schedulers. `TURBODIESEL_SCHEDULES` sets how many, for a longer search.
//!
//! A failure prints a schedule. To see it again, run the test's closure with `shuttle::replay` and
//! that schedule.

mod flights;
mod marks;
mod world;
