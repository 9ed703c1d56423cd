// Command descriptors compares our protocol descriptors with the published ones, so that a wrong field number, type or
// method cannot stay. It reads an encoded FileDescriptorSet from the file that its argument names, or from standard
// input.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "descriptors:", err)
		os.Exit(1)
	}
}

func run() error {
	encoded, err := input()
	if err != nil {
		return err
	}
	ours, err := decode(encoded)
	if err != nil {
		return err
	}
	differences := compare(ours, published())
	slices.Sort(differences)
	for _, difference := range differences {
		fmt.Println(difference)
	}
	if len(differences) > 0 {
		return fmt.Errorf("%d differences", len(differences))
	}
	fmt.Printf("%d facts compared, no difference\n", len(ours))
	return nil
}

func input() ([]byte, error) {
	if len(os.Args) > 1 {
		return os.ReadFile(os.Args[1])
	}
	return io.ReadAll(os.Stdin)
}
