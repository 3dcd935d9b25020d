//! Placeholder of the room `cluster`.
