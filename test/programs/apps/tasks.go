// Goroutines, channels, timers and the collector at work; a line of the log for each step.
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

type node struct {
	left, right *node
	value       uint64
}

func tree(depth int, seed uint64) *node {
	if depth == 0 {
		return &node{value: seed * 2862933555777941757}
	}
	return &node{tree(depth-1, seed*2+1), tree(depth-1, seed*2+2), seed}
}

func (n *node) sum() uint64 {
	if n == nil {
		return 0
	}
	return n.value + 31*n.left.sum() + 37*n.right.sum()
}

func main() {
	requests, answers := make(chan uint64), make(chan uint64, 16)
	var done sync.WaitGroup
	for i := 0; i < 8; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for seed := range requests {
				answers <- tree(13, seed).sum()
			}
		}()
	}
	ticker := time.NewTicker(2 * time.Millisecond)
	ticks := make(chan int, 1)
	stop := make(chan struct{})
	go func() {
		count := 0
		for {
			select {
			case <-ticker.C:
				count++
			case <-stop:
				ticks <- count
				return
			}
		}
	}()
	log, err := os.Create("log.txt")
	if err != nil {
		panic(err)
	}
	chain := sha256.Sum256([]byte("start"))
	for step := 0; step < 200; step++ {
		go func() {
			for i := 0; i < 20; i++ {
				requests <- uint64(step*100 + i)
			}
		}()
		var total uint64
		for i := 0; i < 20; i++ {
			total += <-answers
		}
		time.Sleep(time.Millisecond)
		for i := 0; i < 2000; i++ {
			chain = sha256.Sum256(append(chain[:], byte(total), byte(step)))
		}
		fmt.Fprintf(log, "step %d total %016x chain %x\n", step, total, chain[:8])
		if step%50 == 0 {
			runtime.GC()
		}
	}
	close(requests)
	done.Wait()
	close(stop)
	if <-ticks < 100 {
		panic("the ticker stood still")
	}
	fmt.Printf("done %x\n", chain)
	os.Exit(4)
}
