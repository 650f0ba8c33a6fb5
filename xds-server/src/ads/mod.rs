//! Aggregated discovery service: a store of encoded resources, subscriptions (pure) and the gRPC service (thin).
