//! Placeholder of the room `mqtt`.
