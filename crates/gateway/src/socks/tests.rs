fn _sends(shared: std::sync::Arc<crate::shared::Shared>, accepted: crate::listen::Accepted) {
    fn send<T: Send>(_: T) {}
    send(super::serve(shared, accepted));
}
