//! The one program of the images that the tests pull: it waits until it is killed.

fn main() {
    loop {
        std::thread::park();
    }
}
