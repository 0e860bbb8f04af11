import "slack-blocks-to-jsx/dist/style.css";
import "./base.css";
import "./blocks.css";
import "./layout.css";
import "./panels.css";
import "./narrow.css";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { startCards } from "./cards";

const root = document.getElementById("root");
if (root && new URLSearchParams(location.search).has("cards")) {
  startCards(root);
} else if (root) {
  createRoot(root).render(<App />);
}
