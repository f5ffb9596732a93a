package day

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tidegate/tidegate/benchmarks/day/plan"
)

// connections is over how many connections the callbacks come. Each app keeps to one, so that
// its callbacks arrive in order.
const connections = 8

// okAnswer is what the vendor takes for success, byte for byte.
const okAnswer = `{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}`

// send posts a wave's callbacks and returns when all were answered OK. sent counts them.
func (m *machine) send(w *plan.Wave, sent *atomic.Int64) error {
	lanes := make([][]*plan.Call, connections)
	for i := range w.Calls {
		c := &w.Calls[i]
		lanes[c.App.ID%connections] = append(lanes[c.App.ID%connections], c)
	}
	var sending sync.WaitGroup
	errs := make([]error, connections)
	for i, calls := range lanes {
		sending.Go(func() {
			transport := &http.Transport{MaxConnsPerHost: 1}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			for _, c := range calls {
				if errs[i] = m.post(client, c); errs[i] != nil {
					return
				}
				sent.Add(1)
			}
		})
	}
	sending.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// post sends one callback as the vendor does, signed at this moment.
func (m *machine) post(client *http.Client, c *plan.Call) error {
	query := url.Values{
		"SdkAppid": {strconv.FormatInt(c.App.ID, 10)}, "CallbackCommand": {"Group.CallbackOnDailyGroupQuotaAlarm"}, "contenttype": {"json"},
	}
	if c.ClientIP != "" {
		query.Set("ClientIP", c.ClientIP)
	}
	if c.Platform != "" {
		query.Set("OptPlatform", c.Platform)
	}
	if c.App.Token != "" {
		at := strconv.FormatInt(m.clock.Now().Unix(), 10)
		sum := sha256.Sum256([]byte(c.App.Token + at))
		query.Set("RequestTime", at)
		query.Set("Sign", hex.EncodeToString(sum[:]))
	}
	response, err := client.Post(m.gatewayURL+"?"+query.Encode(), "application/json", bytes.NewReader(c.Body))
	if err != nil {
		return fmt.Errorf("app %d: %w", c.App.ID, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("app %d: %w", c.App.ID, err)
	}
	if response.StatusCode != http.StatusOK || string(answer) != okAnswer {
		return fmt.Errorf("app %d was answered %d %s", c.App.ID, response.StatusCode, answer)
	}
	return nil
}
