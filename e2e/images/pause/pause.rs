//! The process that holds a pod's namespaces: it does nothing, and nothing can go wrong with it.
//! Made here because nothing can be pulled; containerd ends it with SIGKILL.

fn main() {
    loop {
        std::thread::park();
    }
}
