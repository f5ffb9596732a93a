package main

import (
	"math"
	"syscall"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/receive"
)

// ownFiles is how many files the gateway needs besides its --max-connections: connections that are being
// closed, two journals, Kafka, the admin listener, the files that are read again.
const ownFiles = receive.SpareConnections + 256

// maxFiles is how many files this process may open, 0 where that is not known. Go has raised the
// soft limit to the hard one when the process began.
func maxFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, math.MaxInt32))
}

// fewerConnections says how many connections a process can take that may open that many files,
// where those are fewer than wanted. At least one is left.
func fewerConnections(wanted, files int) (most int, fewer bool) {
	if files == 0 || wanted+ownFiles <= files {
		return wanted, false
	}
	return max(1, files-ownFiles), true
}

// connections is --max-connections, or fewer: a gateway without a file left for its journal
// would be worse off than one that refuses a connection.
func (g *gateway) connections() int {
	files := maxFiles()
	most, fewer := fewerConnections(g.set.MaxConnections, files)
	if fewer {
		g.log.Warn("this process may open too few files for --max-connections: fewer connections are taken; raise its limit of files (ulimit -n, LimitNOFILE=)",
			zap.Int("max_connections", g.set.MaxConnections), zap.Int("files", files), zap.Int("taken", most))
	}
	return most
}
