-- The model of a gRPC request, from its first message, chooses the cluster and the endpoint.
function envoy_on_request(request)
  local headers, metadata = request:headers(), request:streamInfo():dynamicMetadata()
  headers:remove("x-manyserve-model")
  local found = metadata:get("envoy.filters.http.grpc_field_extraction")
  if found == nil then return end
  local model = ""
  for _, names in pairs(found) do model = names[1] or "" end
  if model == "" then
    request:respond({[":status"] = "200", ["content-type"] = "application/grpc", ["grpc-status"] = "3",
      ["grpc-message"] = "the request names no model"}, "")
    return
  end
  if #model > 253 or string.find(model, "^[a-z0-9][-a-z0-9]*$") == nil then
    request:respond({[":status"] = "200", ["content-type"] = "application/grpc", ["grpc-status"] = "5",
      ["grpc-message"] = "no model has this name: lower-case letters, digits and hyphens are allowed"}, "")
    return
  end
  metadata:set("envoy.lb", "model", model)
  headers:add("x-manyserve-model", model)
  request:clearRouteCache()
end
