//! The program in the images that the tests pull. It waits until it is killed.

fn main() {
    loop {
        std::thread::park();
    }
}
