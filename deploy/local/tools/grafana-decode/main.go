// grafana-decode reads a dashboard as JSON and decodes it strictly, with the types that Grafana publishes.
//
// A field of another name or type ends the program with Grafana's error. So does a panel of an unknown type, and a
// query that is not one of Prometheus.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func main() {
	for _, variant := range []variants.PanelcfgConfig{stat.VariantConfig(), timeseries.VariantConfig()} {
		cog.NewRuntime().RegisterPanelcfgVariant(variant)
	}
	text, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = decode(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func decode(text []byte) error {
	var whole dashboard.Dashboard
	if err := whole.UnmarshalJSONStrict(text); isError(err) {
		return err
	}
	var parts struct{ Panels []json.RawMessage }
	if err := json.Unmarshal(text, &parts); err != nil {
		return err
	}
	var found []error
	for _, panel := range parts.Panels {
		found = append(found, decodeQueries(panel))
	}
	return errors.Join(found...)
}

// decodeQueries decodes the queries of a panel. The SDK does not decode a query strictly that names no data source.
func decodeQueries(text []byte) error {
	var panel struct {
		Type    string
		Targets []json.RawMessage
	}
	if err := json.Unmarshal(text, &panel); err != nil {
		return err
	}
	if _, known := cog.ConfigForPanelcfgVariant(panel.Type); !known && panel.Type != "row" {
		return fmt.Errorf("the type of a panel is unknown: %s", panel.Type)
	}
	for _, target := range panel.Targets {
		var query prometheus.Dataquery
		if err := query.UnmarshalJSONStrict(target); isError(err) {
			return err
		}
	}
	return nil
}

// isError returns whether there is an error. The SDK returns a list of errors that is never nil, but may be empty.
func isError(err error) bool {
	return err != nil && err.Error() != ""
}
