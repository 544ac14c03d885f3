//! Configurations and what is said about them.

mod cases;
mod changes;
mod expansion;
mod printing;
mod properties;
mod rendering;
mod scalars;
mod settings;
mod system;
mod world;
