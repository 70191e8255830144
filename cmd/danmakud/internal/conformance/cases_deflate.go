package conformance

func compressed() []Case  { return nil }
func negotiation() []Case { return nil }
