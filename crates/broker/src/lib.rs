//! Placeholder of the room `broker`.
