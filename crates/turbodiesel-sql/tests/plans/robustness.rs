//! Whatever the text: no panic, no endless time, no overflow, and the same meaning however it is
//! laid out.
