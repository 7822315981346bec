// Starts Swagger UI on the schema beside this page. A file of its own: the page allows no inline script.
window.addEventListener("load", () => {
  window.ui = SwaggerUIBundle({
    url: document.documentElement.dataset.schema,
    dom_id: "#ui",
    deepLinking: true,
    displayRequestDuration: true,
    // Without this the page would ask a public service whether the schema is valid.
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl],
  });
});
