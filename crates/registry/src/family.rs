//! Modules that register themselves: one word each.

/// Declares the modules of a family, and a function that registers what they hold.
///
/// Every module has a function `register` for what it adds, so that its settings, limits, algorithm and registration stand in one
/// file; a new member of the family is that file and a word here.
///
/// ```ignore
/// simseg_registry::family! {
///     /// Registers every threshold.
///     pub fn register(thresholds: &mut Kinds<dyn Threshold>);
///     statistics, fixed, softmax,
/// }
/// ```
#[macro_export]
macro_rules! family {
    (
        $(#[$doc:meta])*
        pub fn $register:ident $(<$tensor:ident: $bound:path>)? ($kinds:ident: &mut $family:ty);
        $($(#[$attribute:meta])* $module:ident,)+
    ) => {
        $($(#[$attribute])* pub mod $module;)+

        $(#[$doc])*
        pub fn $register $(<$tensor: $bound>)? ($kinds: &mut $family) {
            $($(#[$attribute])* $module::register($kinds);)+
        }
    };
}
