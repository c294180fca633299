fn main() {
    println!("peer");
}
